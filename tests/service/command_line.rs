//! The commands, run as a person runs them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::{A100, Cluster};

fn berth(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).env_remove("JUPYTERHUB_API_TOKEN").env_remove("RUST_LOG");
    command.output().expect("a run")
}

fn dump() -> String {
    format!("{}/tests/data/mixed-cluster.json", env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn answered(arguments: &[&str]) -> Value {
    let output = berth(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refused(arguments: &[&str], code: i32) -> String {
    let output = berth(arguments);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""));
    text(&output.stderr)
}

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("berth-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_recorded_cluster_is_counted_as_it_was() {
    let report = answered(&["gpus", "--from", &dump()]);
    let kinds: Vec<(&str, i64, i64)> = report["kinds"]
        .as_array()
        .expect("kinds")
        .iter()
        .map(|kind| {
            (kind["id"].as_str().expect("an id"), kind["free"].as_i64().expect("free"), kind["total"].as_i64().expect("total"))
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("nvidia-a100-sxm4-40gb", 0, 4),
            ("nvidia-a100-sxm4-80gb", 4, 16),
            ("nvidia-h100-80gb-hbm3", 0, 4),
            ("nvidia-l4", 1, 6),
            ("tesla-t4.shared-4", 5, 8)
        ]
    );
}

#[test]
fn what_nobody_can_count_is_said_once_for_all_nodes_and_by_node_where_it_is_broken() {
    let invalid = [("nvidia.com/gpu.product", "NVIDIA-A100-MIG-INVALID")];
    let odd = [("example.org/gpu", 1)];
    let cluster = Cluster::default().node_with("a", &[], &odd).node_with("b", &[], &odd).node_with("c", &invalid, &[]);
    let dump = File::new("odd.json", &cluster.text());
    let log = text(&berth(&["gpus", "--from", dump.path()]).stderr);
    for (line, expected) in [("no rule knows this GPU resource", "example.org/gpu"), ("its MIG layout is invalid", "\"c\"")] {
        let lines: Vec<&str> = log.lines().filter(|said| said.contains(line)).collect();
        assert!(lines.len() == 1 && lines[0].contains(expected), "{log}");
    }
}

#[test]
fn offers_patches_and_explanations_come_from_the_dump() {
    let from = ["--from", &dump(), "--user", "ada"].map(str::to_owned);
    let with = |command: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            [command].into_iter().chain(from.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        answered(&arguments)
    };
    assert_eq!(with("profiles", &["--groups", "a,b"])["profiles"][0]["slug"], "cpu");
    let options = "{\"profile\":\"gpu\",\"gpu-kind\":\"nvidia-l4\"}";
    assert_eq!(with("spawn", &["--options", options])["patch"]["extra_resource_limits"]["nvidia.com/gpu"], "1");
    let explanation = with("explain", &["--options", options]);
    assert_eq!(explanation["availability"], "now");
    let node = |name: &str| {
        let nodes = explanation["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["name"] == name).expect("a node")["availability"].clone()
    };
    assert_eq!([node("l4-1"), node("l4-2"), node("l4-3"), node("cpu-1")], ["busy", "now", "starting", "never"]);
}

#[test]
fn a_named_server_is_asked_for_by_its_name() {
    let config = File::new(
        "limits.yaml",
        "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {}}]\nvolumes: []\nlimits: {gpusPerUser: 1}\n",
    );
    let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 2).pod("jupyterhub/jupyter-ada-lab", "gpu-a", 1);
    let cluster = cluster.change(|pod| {
        pod["metadata"]["annotations"] =
            serde_json::json!({"hub.jupyter.org/username": "ada", "hub.jupyter.org/servername": "lab"});
    });
    let dump = File::new("limits.json", &cluster.text());
    let asked = |command| [command, "--from", dump.path(), "--config", config.path(), "--user", "ada"];
    let of = |command: &'static str, server: &str| answered(&[asked(command).as_slice(), &["--server", server]].concat());

    assert!(refused(&asked("spawn"), 1).contains("in use: 1 by your server lab"));
    assert_eq!(of("spawn", "lab")["profile"], "gpu", "its own pod is not in its way");
    assert!(answered(&asked("explain"))["refusal"].is_string());
    assert_eq!(of("explain", "lab")["refusal"], Value::Null);
    let availability = |list: &Value| list["profiles"][0]["berth"]["availability"].clone();
    assert_eq!([availability(&answered(&asked("profiles"))), availability(&of("profiles", "lab"))], ["busy", "now"]);
}

#[test]
fn the_hubs_settings_are_known_where_the_catalogue_tells_them() {
    for (base, known) in [("", false), ("base: {node_selector: {pool: users}}\n", true)] {
        let config =
            File::new("base.yaml", &format!("profiles: [{{slug: cpu, title: CPU, image: ml-cpu}}]\nvolumes: []\n{base}"));
        let answer = answered(&["explain", "--from", &dump(), "--config", config.path(), "--user", "ada"]);
        assert_eq!((&answer["hub_settings_known"], answer["refusal"].is_string()), (&Value::Bool(known), known));
    }
}

#[test]
fn a_refusal_is_a_sentence_on_standard_error_and_exit_1() {
    let error = refused(&["spawn", "--from", &dump(), "--user", "ada", "--options", "{\"profile\":\"nothing\"}"], 1);
    assert!(error.contains("The profile “nothing” is not offered here any more, or never was"), "{error}");
    let error = refused(&["gpus", "--from", "/no/such/file"], 1);
    assert!(error.contains("/no/such/file can't be read"), "{error}");
}

#[test]
fn wrong_usage_is_exit_2() {
    assert!(refused(&["spawn", "--from", &dump()], 2).contains("--user"));
    assert!(refused(&["spawn", "--from", &dump(), "--user", "a", "--options", "{"], 2).contains("--options"));
}

#[test]
fn a_catalogue_is_checked_whole() {
    let good = File::new("good.yaml", "profiles: [{slug: a, title: A, image: ml-cpu}]\n");
    let output = berth(&["check-config", good.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bad =
        File::new("bad.yaml", "nonsense: 1\nprofiles:\n- slug: a--b\n  title: A\n  image: ml-cpu\n  memory: {limit: 8Gx}\n");
    let error = refused(&["check-config", bad.path()], 1);
    for expected in ["bad.yaml:1: nonsense", "bad.yaml:3: profiles[0].slug", "bad.yaml:6: profiles[0].memory.limit"] {
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn without_a_token_the_service_does_not_start() {
    assert!(refused(&["serve", "--from", &dump()], 1).contains("JUPYTERHUB_API_TOKEN is not set"));
    let error = refused(&["serve", "--from", &dump(), "--no-auth", "--listen", "0.0.0.0:0", "--manage", "127.0.0.1:0"], 1);
    assert!(error.contains("loopback addresses only"), "{error}");
}

/// Reads the log up to the line that holds the words.
fn read_until(log: &mut impl BufRead, words: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).expect("a log"), 0, "{words} never came:\n{seen}");
        seen.push_str(&line);
        if line.contains(words) {
            return seen;
        }
    }
}

#[test]
fn a_running_service_takes_a_new_catalogue_and_dump_and_keeps_the_old_on_a_mistake() {
    let config = File::new("live.yaml", "profiles: [{slug: a, title: A, image: ml-cpu}]\n");
    let recorded = std::fs::read_to_string(dump()).expect("the dump");
    let cluster = File::new("live.json", &recorded);
    let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args([
            "serve",
            "--no-auth",
            "--listen",
            "127.0.0.1:0",
            "--manage",
            "127.0.0.1:0",
            "--from",
            cluster.path(),
            "--config",
            config.path(),
        ])
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .expect("a service");
    let mut log = BufReader::new(child.stderr.take().expect("a log"));
    assert!(read_until(&mut log, "serving").contains("--no-auth: everybody"));
    let write = |file: &File, content: &str| {
        std::fs::File::create(&file.0).and_then(|mut f| f.write_all(content.as_bytes())).expect("a write")
    };
    write(&config, "profiles: [{slug: a, title: A, image: ml-cpu}, {slug: b, title: B, image: ml-cpu}]\n");
    read_until(&mut log, "the catalogue was read anew");
    write(&config, "profiles: []\n");
    read_until(&mut log, "the old one stays");
    write(&cluster, &recorded.replace("\"unschedulable\": true", "\"unschedulable\": false"));
    read_until(&mut log, "the dump was read");
    write(&cluster, "{");
    read_until(&mut log, "the dump is refused");
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("a signal");
    assert!(stopped.success());
    read_until(&mut log, "stopped");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

/// One request by hand, and the status of its answer.
fn status(address: &str, token: &str) -> u16 {
    let body = "{\"user\":{\"name\":\"ada\"}}";
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!(
        "POST /api/v1/hub/profile-list HTTP/1.1\r\nHost: berth\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

#[test]
fn a_token_in_a_file_is_taken_anew_when_it_changes() {
    let token = File::new("token", "first\n");
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--manage", "127.0.0.1:0", "--from", &dump(), "--api-token-file", token.path()];
    let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .expect("a service");
    let mut log = BufReader::new(child.stderr.take().expect("a log"));
    let started = read_until(&mut log, "serving");
    let address = started.split("listen=[").nth(1).and_then(|rest| rest.split(']').next()).expect("an address").to_owned();
    assert_eq!([status(&address, "first"), status(&address, "second")], [200, 401]);
    std::fs::write(&token.0, "second\n").expect("a write");
    read_until(&mut log, "the token was read anew");
    assert_eq!([status(&address, "first"), status(&address, "second")], [401, 200]);
    std::fs::write(&token.0, "\n").expect("a write");
    read_until(&mut log, "the last one stays");
    assert_eq!(status(&address, "second"), 200);
    child.kill().expect("a signal");
    child.wait().expect("an end");
}

//! The commands. Answers go to standard output, errors to standard error; exit 0, 1 (refused or invalid) or 2 (usage).
//!
//! The commands that answer a question print what the routes answer, from the live cluster or from a dump.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::app::{self, ServeArgs, Source};
use crate::catalogue::Catalogue;
use crate::domain::base::Base;
use crate::domain::report::GpuReport;
use crate::http::View;
use crate::http::explain::{Explanation, explain};
use crate::http::hub::list_profiles;
use crate::http::problem::Problem;
use crate::http::user::split_groups;
use crate::profiles::User;
use crate::spawn::answer;
use crate::telemetry::{self, LogFormat};

/// GPU profiles for JupyterHub on Kubernetes: what is free now, and the pod settings of a choice.
#[derive(Debug, Parser)]
#[command(name = "berth", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the hub, its users and Prometheus
    Serve(ServeArgs),
    /// Check a catalogue and name every mistake with file, line and key
    CheckConfig {
        /// The catalogue, YAML
        file: PathBuf,
    },
    /// Print the GPUs of the cluster by kind and by node
    Gpus(Source),
    /// Print what a user is offered
    Profiles {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        user: UserArgs,
    },
    /// Print the patch for what a user chose
    Spawn {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        user: UserArgs,
        #[command(flatten)]
        options: OptionsArgs,
    },
    /// Print why a choice would start or not, node by node
    Explain {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        user: UserArgs,
        #[command(flatten)]
        options: OptionsArgs,
    },
}

#[derive(Debug, Args)]
struct UserArgs {
    /// The user's name
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The user's groups, separated by commas
    #[arg(long, value_name = "GROUPS", default_value = "")]
    groups: String,
    /// The user is an administrator of the hub
    #[arg(long)]
    admin: bool,
    /// The name of the user's server; without it the default one
    #[arg(long, value_name = "NAME", default_value = "")]
    server: String,
}

#[derive(Debug, Args)]
struct OptionsArgs {
    /// The user's options as JSON, such as '{"profile":"gpu","gpus":"2"}'; without them the default profile
    #[arg(long, value_name = "JSON", default_value = "null", value_parser = parse_json)]
    options: Value,
}

fn parse_json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

impl UserArgs {
    /// The user, and the name of the server.
    fn split(self) -> (User, String) {
        (User { name: self.user, groups: split_groups(&self.groups), admin: self.admin }, self.server)
    }
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(args) => app::serve(args).await.map_err(|error| error.to_string()),
        Command::CheckConfig { file } => check_config(&file),
        Command::Gpus(source) => look(&source).await.and_then(|view| {
            let snapshot = view.snapshot.as_deref().ok_or("there is no inventory")?;
            print(&GpuReport::new(snapshot, &view.freshness))
        }),
        Command::Profiles { source, user } => look(&source).await.and_then(|view| {
            let (user, server) = user.split();
            let list = list_profiles(&view, app::DEFAULT_PREFIX, &user, &server, &view.catalogue.base);
            let list = list.map_err(|problem| problem.to_string())?;
            print(&list.with_hidden(&view, &user))
        }),
        Command::Spawn { source, user, options } => look(&source).await.and_then(|view| {
            let ((user, server), base) = (user.split(), &view.catalogue.base);
            let answer = answer(&view.context(app::DEFAULT_PREFIX, &server), &user, base, &options.options, None);
            print(&answer.map_err(|refusal| Problem::from(refusal).to_string())?.0)
        }),
        Command::Explain { source, user, options } => look(&source).await.and_then(|view| {
            let ((user, server), base) = (user.split(), &view.catalogue.base);
            let explanation = explain(&view, app::DEFAULT_PREFIX, (&user, &server), base, &options.options);
            let explanation = explanation.map_err(|refusal| refusal.to_string())?;
            // Nobody but the catalogue can have told them here.
            print(&Explanation { hub_settings_known: *base != Base::default(), ..explanation })
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "berth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check_config(file: &std::path::Path) -> Result<(), String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name} can't be read: {error}"))?;
    let catalogue = Catalogue::parse(&name, &text).map_err(|errors| format!("the catalogue has mistakes\n{errors}"))?;
    print_line(&format!("{name}: correct, {} profiles", catalogue.profiles.len()))
}

/// One view of the cluster or the dump.
async fn look(source: &Source) -> Result<View, String> {
    telemetry::init(LogFormat::Text, "warn");
    let catalogue = Arc::new(app::load_catalogue(source.config.as_deref()).map_err(|error| error.to_string())?);
    let inventory = app::look_once(source, &catalogue).await.map_err(|error| error.to_string())?;
    Ok(View { snapshot: inventory.snapshot(), freshness: inventory.health.freshness(), catalogue })
}

fn print(answer: &impl Serialize) -> Result<(), String> {
    print_line(&serde_json::to_string_pretty(answer).map_err(|error| error.to_string())?)
}

fn print_line(text: &str) -> Result<(), String> {
    match writeln!(std::io::stdout(), "{text}") {
        // A reader that has seen enough, such as `head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| format!("the answer could not be written: {error}")),
    }
}

//! What a good file comes to: defaults, resolved names, order.

use std::time::Duration;

use super::{PROFILES, cpu, gpu, parsed};
use crate::catalogue::{
    AvoidGpuNodes, Catalogue, ImageChoice, ImagePullPolicy, PerNode, SharedCodeMount, SharedCodeUse, VolumeSource, WhenFull,
};
use crate::domain::base::Base;
use crate::domain::gpu::Sharing;

/// The example of the design's §4, completed where it leaves things out.
const DESIGN: &str = r#"
namespace: jupyterhub                        # where the hub spawns
registry: registry.example.org/library      # Harbor project prefix for short image names
imagePullSecrets: [harbor-pull]
images:                                      # the four of the seed; any full reference works too
  ml-cpu: jupyter-ml-cpu:1.0
imagePullPolicy: IfNotPresent
tolerate: [nvidia.com/gpu, amd.com/gpu, gpu.intel.com/i915, habana.ai/gaudi, hub.jupyter.org/dedicated, hub.jupyter.org_dedicated]   # taint keys
profiles:
  - slug: cpu
    title: "📚 Standard Environment (CPU)"
    description: General ML and AI development
    image: ml-cpu
    default: true
    cpu: {request: "1", limit: "4"}
    memory: {request: 4Gi, limit: 8Gi}
    avoidGpuNodes: preferred                 # no | preferred | required
    sharedCode: ask
    environment: {}
  - slug: gpu
    title: "🚀 GPU Environment (Auto-select)"
    image: ml-gpu
    memory: {request: 8Gi, limit: 16Gi}
    sharedMemory: 8Gi                        # /dev/shm, counts towards memory
    gpu: {counts: [1, 2, 4], kinds: ["*"], sharing: [exclusive, mig, time-sliced, mps], minMemory: 0Gi}
    access: {groups: []}                     # empty: everyone
    whenFull: wait                           # wait | refuse
    waitUpTo: 20m                            # becomes the spawner's start_timeout; the form says so
    images: [ml-gpu]                         # more than one: an `image` option
  - slug: fine-tuning
    title: "🔧 Fine-tuning (Unsloth + QLoRA)"
    gpu: {counts: [1], sharing: [exclusive], minMemory: 16Gi}
    image: fine-tuning
  - slug: agent-dev
    title: "🤖 Agent Development (LangChain)"
    image: agent-dev
  - slug: gpu-on                             # one offer per usable GPU node: gpu-on-<node>, the node's name made safe for a slug
    title: "💻 GPU on {node}"
    perNode: {maxEntries: 12}
    image: ml-gpu
    gpu: {}
redirects: {old-slug: gpu}                   # and automatic
volumes:
  - {name: notebooks, claim: berth-notebooks, mountPath: /home/jovyan/notebooks, scope: user}     # subPath {username}
  - {name: datasets,  claim: berth-datasets,  mountPath: /home/jovyan/datasets,  scope: shared}
  - {name: models,    claim: berth-models,    mountPath: /home/jovyan/models,    scope: shared}
  - {name: scratch,   emptyDir: {sizeLimit: 50Gi}, mountPath: /home/jovyan/scratch}
sharedCode:
  enabled: false
  hostPath: /srv/shared-code
  mountPath: /home/jovyan/shared-code-reference
  nodes: {node-role.kubernetes.io/control-plane: ""}
  mount: where-certain                       # where-certain | best-effort
limits: {gpusPerUser: null, groups: {}}      # most GPUs a user may hold at once, by group
expandable: []                               # pools an autoscaler can grow
gpuResources: []                             # extra rules in front of the built-in ones
"#;

#[test]
fn the_example_of_the_design_parses() {
    let catalogue = parsed(DESIGN);
    assert_eq!(catalogue.namespace, "jupyterhub");
    assert_eq!(catalogue.image_pull_secrets, ["harbor-pull"]);
    assert_eq!(catalogue.image_pull_policy, ImagePullPolicy::IfNotPresent);
    assert_eq!(catalogue.redirects["old-slug"], "gpu");
    let [cpu, gpu, fine_tuning, _, on] = &catalogue.profiles[..] else { panic!("five profiles") };
    let reference = "registry.example.org/library/jupyter-ml-cpu:1.0".to_owned();
    assert_eq!(cpu.images, [ImageChoice { id: "ml-cpu".to_owned(), reference }]);
    assert!(cpu.default && cpu.gpu.is_none());
    assert_eq!(cpu.cpu.unwrap().request.unwrap().millis(), 1000);
    assert_eq!(cpu.memory.unwrap().limit.unwrap().value(), 8 << 30);
    assert_eq!((cpu.avoid_gpu_nodes, cpu.shared_code), (AvoidGpuNodes::Preferred, SharedCodeUse::Ask));
    let request = gpu.gpu.as_ref().unwrap();
    assert_eq!((&request.counts[..], request.min_memory_mib), (&[1, 2, 4][..], 0));
    assert!(request.kinds.matches("any-kind-at-all"));
    assert_eq!(gpu.images.len(), 1);
    assert_eq!(gpu.wait_up_to, Some(Duration::from_secs(1200)));
    let request = fine_tuning.gpu.as_ref().unwrap();
    assert_eq!((&request.sharing[..], request.min_memory_mib), (&[Sharing::Exclusive][..], 16384));
    assert_eq!(on.per_node, Some(PerNode { max_entries: 12 }));
}

#[test]
fn gpu_rules_keep_their_order_and_need_a_resource_only() {
    let rules = "gpuResources:
- {resource: example.org/accel-small, vendor: acme, sharing: mps, productLabels: [a.org/x, b], memoryLabel: m, memoryUnit: GiB, replicasLabel: r}
- {resource: 'example.org/accel*', memoryLabel: m, vendor: null}
";
    let catalogue = parsed(&format!("{rules}{PROFILES}"));
    let [full, bare] = &catalogue.gpu_rules[..] else { panic!("two rules") };
    assert_eq!((full.resource.as_str(), full.vendor.as_deref()), ("example.org/accel-small", Some("acme")));
    assert_eq!((full.sharing, &full.product_labels[..]), (Sharing::Mps, &["a.org/x".to_owned(), "b".to_owned()][..]));
    assert_eq!((full.memory.as_ref().unwrap().unit, full.replicas_label.as_deref()), (1 << 30, Some("r")));
    assert_eq!((bare.vendor.as_deref(), bare.sharing, bare.product_labels.len()), (None, Sharing::Exclusive, 0));
    assert_eq!(bare.memory.as_ref().unwrap().unit, 1 << 20);
}

#[test]
fn the_built_in_catalogue_has_the_profiles_of_the_seed() {
    let catalogue = Catalogue::built_in().unwrap();
    let titles: Vec<(&str, &str)> =
        catalogue.profiles.iter().map(|profile| (profile.slug.as_str(), profile.title.as_str())).collect();
    assert_eq!(
        titles,
        [
            ("cpu", "📚 Standard Environment (CPU)"),
            ("gpu", "🚀 GPU Environment (Auto-select)"),
            ("fine-tuning", "🔧 Fine-tuning (Unsloth + QLoRA)"),
            ("agent-dev", "🤖 Agent Development (LangChain)"),
            ("gpu-on", "💻 GPU on {node}"),
        ]
    );
    let limits: Vec<i128> =
        catalogue.profiles.iter().map(|profile| profile.memory.unwrap().limit.unwrap().value() >> 30).collect();
    assert_eq!(limits, [8, 16, 32, 8, 16]);
    let images: Vec<&str> = catalogue.profiles.iter().map(|profile| profile.images[0].reference.as_str()).collect();
    assert_eq!(
        images,
        ["jupyter-ml-cpu:1.0", "jupyter-ml-gpu:1.0", "jupyter-fine-tuning:1.0", "jupyter-agent-dev:1.0", "jupyter-ml-gpu:1.0",]
    );
    for profile in catalogue.profiles.iter().filter(|profile| profile.gpu.is_some()) {
        assert_eq!((profile.when_full, profile.wait_up_to), (WhenFull::Wait, Some(Duration::from_secs(1200))));
    }
    let fine_tuning = catalogue.profiles[2].gpu.as_ref().unwrap();
    assert_eq!((&fine_tuning.sharing[..], fine_tuning.min_memory_mib), (&[Sharing::Exclusive][..], 16384));
}

#[test]
fn what_the_built_in_file_writes_out_is_what_holds_without_it() {
    let built_in = Catalogue::built_in().unwrap();
    let bare = parsed(PROFILES);
    assert_eq!(Catalogue { profiles: bare.profiles.clone(), ..built_in }, bare);
}

#[test]
fn a_profile_needs_only_slug_title_and_image() {
    let catalogue = parsed(PROFILES);
    let profile = &catalogue.profiles[0];
    assert!(profile.default, "the only profile is the default");
    assert_eq!(profile.description, "");
    assert_eq!((profile.cpu, profile.memory, profile.shared_memory), (None, None, None));
    assert_eq!((profile.avoid_gpu_nodes, profile.shared_code), (AvoidGpuNodes::No, SharedCodeUse::No));
    assert!(profile.environment.is_empty() && profile.access.groups.is_empty());
    assert_eq!((profile.when_full, profile.wait_up_to), (WhenFull::Wait, None));
    assert_eq!((&profile.gpu, profile.per_node), (&None, None));
    assert_eq!((&profile.scheduler_name, &profile.priority_class_name), (&None, &None));
    assert_eq!(catalogue.shared_code.mount, SharedCodeMount::WhereCertain);
}

#[test]
fn an_empty_gpu_takes_one_of_any_kind() {
    let catalogue = parsed(&gpu(""));
    let request = catalogue.profiles[0].gpu.as_ref().unwrap();
    assert_eq!(request.counts, [1]);
    assert_eq!(request.sharing, [Sharing::Exclusive, Sharing::Mig, Sharing::TimeSliced, Sharing::Mps]);
    assert_eq!(request.min_memory_mib, 0);
    assert!(request.kinds.matches("anything"));
    assert_eq!(parsed(&gpu("title: on {node}\nperNode: {}")).profiles[0].per_node, Some(PerNode { max_entries: 12 }));
}

#[test]
fn kinds_are_globs_that_do_not_mind_capitals() {
    let catalogue = parsed(&gpu("gpu: {kinds: ['nvidia-A100*', '*.mig-1g.*']}"));
    let kinds = &catalogue.profiles[0].gpu.as_ref().unwrap().kinds;
    assert!(!kinds.matches("any-kind-at-all"));
    for (id, matches) in [
        ("nvidia-a100-sxm4-80gb", true),
        ("nvidia-h100.mig-1g.10gb", true),
        ("tesla-t4", false),
        ("nvidia-h100.mig-2g.20gb", false),
    ] {
        assert_eq!(kinds.matches(id), matches, "{id}");
    }
}

#[test]
fn least_memory_is_rounded_up_to_mib() {
    for (written, mib) in [("16Gi", 16384), ("0", 0), ("16G", 15259), ("1Mi", 1)] {
        let catalogue = parsed(&gpu(&format!("gpu: {{minMemory: {written}}}")));
        assert_eq!(catalogue.profiles[0].gpu.as_ref().unwrap().min_memory_mib, mib, "{written}");
    }
}

#[test]
fn images_are_resolved_and_the_default_comes_first() {
    let images = |head: &str, lines: &str| -> Vec<(String, String)> {
        let catalogue = parsed(&format!("{head}{}", cpu(lines)));
        catalogue.profiles[0].images.iter().map(|image| (image.id.clone(), image.reference.clone())).collect()
    };
    let pair = |id: &str, reference: &str| (id.to_owned(), reference.to_owned());
    let registry = "registry: r.example.org/p\n";
    let (cpu, gpu) = (pair("ml-cpu", "r.example.org/p/jupyter-ml-cpu:1.0"), pair("ml-gpu", "r.example.org/p/jupyter-ml-gpu:1.0"));
    assert_eq!(images(registry, "image: ml-cpu"), std::slice::from_ref(&cpu));
    assert_eq!(images(registry, "images: [ml-cpu, ml-gpu]"), [cpu.clone(), gpu.clone()]);
    assert_eq!(images(registry, "images: [ml-cpu, ml-gpu]\nimage: ml-gpu"), [gpu, cpu]);
    assert_eq!(images(registry, "image: own:2"), [pair("own:2", "r.example.org/p/own:2")]);
    assert_eq!(images(registry, "image: quay.io/a/b"), [pair("quay.io/a/b", "quay.io/a/b")]);
    assert_eq!(images("", "image: ml-cpu"), [pair("ml-cpu", "jupyter-ml-cpu:1.0")]);
    let own = "images: {ml-cpu: 'quay.io/a/b:3', x: y}\nregistry: r\n";
    assert_eq!(
        images(own, "images: [ml-cpu, x, ml-gpu]"),
        [pair("ml-cpu", "quay.io/a/b:3"), pair("x", "r/y"), pair("ml-gpu", "r/jupyter-ml-gpu:1.0"),]
    );
}

#[test]
fn a_mount_comes_before_those_below_it() {
    let text = "volumes:
  - {name: deep, emptyDir: {}, mountPath: /home/jovyan/a/b}
  - {name: other, claim: c, mountPath: /data, scope: shared}
  - {name: a, emptyDir: {}, mountPath: /home/jovyan/a}
  - {name: home, claim: h, mountPath: /home/jovyan, scope: user}
";
    let catalogue = parsed(&format!("{text}{PROFILES}"));
    let names: Vec<&str> = catalogue.volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["other", "home", "a", "deep"]);
    assert_eq!(catalogue.volumes[1].source, VolumeSource::Claim { name: "h".to_owned(), per_user: true });
    assert_eq!(catalogue.volumes[0].source, VolumeSource::Claim { name: "c".to_owned(), per_user: false });
    assert_eq!(catalogue.volumes[2].source, VolumeSource::EmptyDir { size_limit: None });
    assert_eq!(parsed(&format!("volumes: []\n{PROFILES}")).volumes, []);
}

#[test]
fn chains_of_redirects_lead_to_the_profile_at_once() {
    let catalogue = parsed(&format!("redirects: {{a: b, b: c, c: cpu, old--one: cpu}}\n{PROFILES}"));
    assert!(catalogue.redirects.values().all(|target| target == "cpu"));
    assert_eq!(catalogue.redirects.len(), 4);
}

#[test]
fn taints_are_kept_once_and_durations_add_up() {
    let catalogue = parsed(&format!("tolerate: [a, b, a]\n{}", cpu("waitUpTo: 1h30m")));
    assert_eq!(catalogue.tolerate, ["a", "b"]);
    assert_eq!(catalogue.profiles[0].wait_up_to, Some(Duration::from_secs(5400)));
}

#[test]
fn the_base_is_read_as_the_hook_sends_it() {
    assert_eq!(parsed(PROFILES).base, Base::default());
    assert_eq!(parsed(&format!("base: {{}}\n{PROFILES}")).base, Base::default());
    let text = "base:
  node_selector: {pool: users}
  node_affinity_required: [{matchExpressions: [{key: a, operator: Exists}]}]
  tolerations: [{key: a, operator: Exists, effect: NoSchedule}]
  requests: {cpu: 1, memory: 512Mi}
  scheduler_name: user-scheduler
";
    let expected = serde_json::from_value::<Base>(serde_json::json!({
        "node_selector": {"pool": "users"},
        "node_affinity_required": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
        "requests": {"cpu": "1", "memory": "512Mi"},
        "scheduler_name": "user-scheduler"
    }));
    assert_eq!(parsed(&format!("{text}{PROFILES}")).base, expected.expect("a base"));
}

#[test]
fn the_first_profile_that_is_not_per_node_is_the_default_if_none_says_so() {
    let text = "profiles:
  - {slug: on, title: 'on {node}', image: ml-gpu, gpu: {}, perNode: {}}
  - {slug: b, title: B, image: ml-cpu}
  - {slug: c, title: C, image: ml-cpu}
";
    let defaults: Vec<bool> = parsed(text).profiles.iter().map(|profile| profile.default).collect();
    assert_eq!(defaults, [false, true, false]);
}

#[test]
fn the_kind_of_a_pool_at_zero_is_read_out_of_its_id() {
    for (id, resource, memory, name, sharing) in [
        ("nvidia-l4", "nvidia.com/gpu", "24Gi", "nvidia l4 24 GB", Sharing::Exclusive),
        ("nvidia-g5.xlarge", "nvidia.com/gpu", "24Gi", "nvidia g5.xlarge 24 GB", Sharing::Exclusive),
        ("tesla-t4.shared-4", "nvidia.com/gpu", "16Gi", "tesla t4 16 GB, shared by 4", Sharing::TimeSliced),
        ("tesla-t4.mps-4.renamed", "nvidia.com/gpu.shared", "4Gi", "tesla t4 4 GB, shared by 4 (MPS)", Sharing::Mps),
        (
            "nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed",
            "nvidia.com/mig-1g.5gb",
            "5Gi",
            "nvidia a100 5 GB, MIG slice 1g.5gb",
            Sharing::Mig,
        ),
        (
            "nvidia-a100-sxm4-40gb.mig-1g.10gb-me.mixed.shared-2.renamed",
            "nvidia.com/mig-1g.10gb.me.shared",
            "10Gi",
            "nvidia a100 10 GB, MIG slice 1g.10gb+me, shared by 2",
            Sharing::TimeSliced,
        ),
        (
            "amd-instinct-mi300x.cpx-nps4.mixed",
            "amd.com/cpx_nps4",
            "24Gi",
            "amd instinct mi300x 24 GB, partition CPX/NPS4",
            Sharing::Mig,
        ),
        ("amd-instinct-mi300x.spx-nps1.mixed", "amd.com/spx_nps1", "192Gi", "amd instinct mi300x 192 GB", Sharing::Exclusive),
        ("intel-max-1550.xe", "gpu.intel.com/xe", "128Gi", "intel max 1550 128 GB", Sharing::Exclusive),
    ] {
        let pool =
            format!("{{kind: {id}, resource: {resource}, memory: {memory}, gpusPerNode: 1, maxNodes: 1, labels: {{a: b}}}}");
        let kind = parsed(&format!("expandable: [{pool}]\n{PROFILES}")).expandable[0].kind.clone();
        assert_eq!((kind.id.as_str(), kind.display_name().as_str(), kind.sharing), (id, name, sharing));
    }
}

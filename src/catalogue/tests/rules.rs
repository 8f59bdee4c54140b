//! Each rule, once broken: the line, the key and the words of its error.

use super::{PROFILES, assert_errors, cpu, gpu};

/// What the case is called, the lines, and its one error.
type Case = (&'static str, &'static str, (usize, &'static str, &'static str));

#[test]
fn a_profile_that_breaks_a_rule_is_named_by_line_and_key() {
    let cases: &[Case] = &[
        ("unknown key", "titel: x", (3, "profiles[0].titel", "unknown key \"titel\", expected one of \"slug\"")),
        ("slug is empty", "slug: ''", (3, "profiles[0].slug", "is empty")),
        ("slug with two dashes", "slug: a--b", (3, "profiles[0].slug", "contains --")),
        ("slug with a space", "slug: a b", (3, "profiles[0].slug", "does not fit form fields and URLs")),
        ("slug with a slash", "slug: a/b", (3, "profiles[0].slug", "does not fit")),
        ("slug with capitals", "slug: Gpu", (3, "profiles[0].slug", "lower-case")),
        ("slug that ends in a dash", "slug: gpu-", (3, "profiles[0].slug", "both ends")),
        (
            "slug that is a number",
            "slug: 1",
            (3, "profiles[0].slug", "wrong type: integer \"1\", expected a string (put it in quotes)"),
        ),
        ("title is empty", "title: ' '", (3, "profiles[0].title", "is empty")),
        ("title names a node without perNode", "title: GPU on {node}", (3, "profiles[0].title", "only a profile with perNode")),
        ("image unknown", "image: ml-cpuu", (3, "profiles[0].image", "there are agent-dev, fine-tuning, ml-cpu, ml-gpu")),
        ("image is no reference", "image: 'quay.io/My Image'", (3, "profiles[0].image", "is not an image reference")),
        (
            "image not among images",
            "image: ml-cpu\nimages: [ml-gpu]",
            (3, "profiles[0].image", "is not in the images of this profile"),
        ),
        ("images unknown", "images: [ml-cpu, nope]", (3, "profiles[0].images[1]", "\"nope\" is no image")),
        ("images twice", "images: [ml-cpu, ml-cpu]", (3, "profiles[0].images[1]", "in the list already")),
        ("default is no boolean", "default: 'yes'", (3, "profiles[0].default", "expected a boolean")),
        ("no quantity", "memory:\n  limit: 8Gx", (4, "profiles[0].memory.limit", "\"8Gx\" is not a quantity")),
        ("quantity too large", "memory: {limit: 9Ei}", (3, "profiles[0].memory.limit", "too large")),
        ("cpu below zero", "cpu: {limit: -1}", (3, "profiles[0].cpu.limit", "not above zero")),
        ("cpu of zero", "cpu: {request: 0}", (3, "profiles[0].cpu.request", "not above zero")),
        ("memory of zero", "memory: {request: 0}", (3, "profiles[0].memory.request", "not above zero")),
        ("memory without unit", "memory: {limit: 8}", (3, "profiles[0].memory.limit", "its unit is likely missing")),
        (
            "cpu request above limit",
            "cpu: {request: 2, limit: 1500m}",
            (3, "profiles[0].cpu.request", "2 is more than the limit, 1500m"),
        ),
        (
            "memory request above limit",
            "memory:\n  request: 9Gi\n  limit: 8Gi",
            (4, "profiles[0].memory.request", "more than the limit"),
        ),
        ("unknown bound", "cpu: {limits: 1}", (3, "profiles[0].cpu.limits", "unknown key")),
        ("cpu not a mapping", "cpu: 1", (3, "profiles[0].cpu", "expected a mapping with request and limit")),
        (
            "sharedMemory above limit",
            "sharedMemory: 9Gi\nmemory: {limit: 8Gi}",
            (3, "profiles[0].sharedMemory", "more than memory.limit, 8Gi"),
        ),
        ("sharedMemory of zero", "sharedMemory: 0", (3, "profiles[0].sharedMemory", "not above zero")),
        ("avoidGpuNodes unknown", "avoidGpuNodes: maybe", (3, "profiles[0].avoidGpuNodes", "\"no\", \"preferred\"")),
        ("avoidGpuNodes true", "avoidGpuNodes: true", (3, "profiles[0].avoidGpuNodes", "wrong type: boolean")),
        ("sharedCode unknown", "sharedCode: yes", (3, "profiles[0].sharedCode", "unknown word \"yes\"")),
        ("variable with a bad name", "environment: {1A: x}", (3, "profiles[0].environment.1A", "not the name of a variable")),
        ("variable that is no text", "environment:\n  A: 1", (4, "profiles[0].environment.A", "put it in quotes")),
        ("variable with a stray brace", "environment: {A: 'x{'}", (3, "profiles[0].environment.A", "write {{ and }}")),
        ("variable with a stray closing brace", "environment: {A: 'x}'}", (3, "profiles[0].environment.A", "write {{ and }}")),
        ("variable with empty braces", "environment: {A: '{}'}", (3, "profiles[0].environment.A", "{} is nothing")),
        (
            "variable with an unknown field",
            "environment: {A: '{user}'}",
            (3, "profiles[0].environment.A", "{user} is nothing that KubeSpawner fills in"),
        ),
        ("variable with a conversion", "environment: {A: '{username!r}'}", (3, "profiles[0].environment.A", "is nothing")),
        ("group without a name", "access: {groups: [a, '']}", (3, "profiles[0].access.groups[1]", "is empty")),
        ("whenFull unknown", "whenFull: queue", (3, "profiles[0].whenFull", "\"wait\" or \"refuse\"")),
        ("waitUpTo with refuse", "whenFull: refuse\nwaitUpTo: 20m", (4, "profiles[0].waitUpTo", "whenFull: wait only")),
        ("waitUpTo is no duration", "waitUpTo: soon", (3, "profiles[0].waitUpTo", "\"soon\" is not a duration")),
        ("waitUpTo without unit", "waitUpTo: 20", (3, "profiles[0].waitUpTo", "20 has no unit: write 20s")),
        ("waitUpTo of zero", "waitUpTo: 0s", (3, "profiles[0].waitUpTo", "at least 1s")),
        ("waitUpTo below zero", "waitUpTo: -5m", (3, "profiles[0].waitUpTo", "is not a duration")),
        ("perNode without gpu", "title: on {node}\nperNode: {}", (4, "profiles[0].perNode", "goes with gpu only")),
        ("schedulerName", "schedulerName: My Scheduler", (3, "profiles[0].schedulerName", "not a name that Kubernetes takes")),
        ("priorityClassName", "priorityClassName: ''", (3, "profiles[0].priorityClassName", "not a name that Kubernetes takes")),
    ];
    for (what, lines, error) in cases {
        assert_errors(what, &cpu(lines), &[*error]);
    }
}

#[test]
fn a_gpu_profile_that_breaks_a_rule_is_named_by_line_and_key() {
    let cases: &[Case] = &[
        ("no counts", "gpu: {counts: []}", (3, "profiles[0].gpu.counts", "is empty")),
        ("count of zero", "gpu:\n  counts: [1, 0]", (4, "profiles[0].gpu.counts[1]", "0 is no number of GPUs")),
        ("count twice", "gpu: {counts: [1, 1]}", (3, "profiles[0].gpu.counts[1]", "already")),
        ("count below zero", "gpu: {counts: [-1]}", (3, "profiles[0].gpu.counts[0]", "invalid value")),
        ("no kinds", "gpu: {kinds: []}", (3, "profiles[0].gpu.kinds", "is empty")),
        ("kind is no glob", "gpu: {kinds: ['*', 'a[']}", (3, "profiles[0].gpu.kinds[1]", "\"a[\" is not a glob")),
        ("kind is empty", "gpu: {kinds: ['']}", (3, "profiles[0].gpu.kinds[0]", "is empty")),
        ("no sharing", "gpu: {sharing: []}", (3, "profiles[0].gpu.sharing", "is empty")),
        (
            "sharing unknown",
            "gpu: {sharing: [mig, timesliced]}",
            (3, "profiles[0].gpu.sharing[1]", "unknown word \"timesliced\""),
        ),
        ("sharing twice", "gpu: {sharing: [mig, mig]}", (3, "profiles[0].gpu.sharing[1]", "already")),
        ("minMemory is no quantity", "gpu: {minMemory: lots}", (3, "profiles[0].gpu.minMemory", "is not a quantity")),
        ("minMemory without unit", "gpu: {minMemory: 16}", (3, "profiles[0].gpu.minMemory", "unit is likely missing")),
        ("unknown key", "gpu: {count: 1}", (3, "profiles[0].gpu.count", "unknown key")),
        ("no value", "gpu:", (3, "profiles[0].gpu", "has no value")),
        ("avoidGpuNodes", "avoidGpuNodes: preferred", (3, "profiles[0].avoidGpuNodes", "contradicts gpu")),
        ("perNode without {node}", "title: on a node\nperNode: {}", (3, "profiles[0].title", "must contain {node}")),
        (
            "no entries",
            "title: on {node}\nperNode: {maxEntries: 0}",
            (4, "profiles[0].perNode.maxEntries", "0 is not between 1 and 200"),
        ),
        (
            "too many entries",
            "title: on {node}\nperNode: {maxEntries: 201}",
            (4, "profiles[0].perNode.maxEntries", "not between"),
        ),
        ("default per node", "title: on {node}\nperNode: {}\ndefault: true", (5, "profiles[0].default", "cannot be the default")),
    ];
    for (what, lines, error) in cases {
        assert_errors(what, &gpu(lines), &[*error]);
    }
}

#[test]
#[allow(clippy::too_many_lines)]
fn what_stands_beside_the_profiles_is_named_by_line_and_key() {
    let cases: &[Case] = &[
        ("unknown key", "profile: []", (1, "profile", "unknown key \"profile\"")),
        ("namespace", "namespace: Jupyter Hub", (1, "namespace", "not the name of a namespace")),
        ("registry with a scheme", "registry: https://r.example.org", (1, "registry", "no scheme")),
        ("registry with a slash behind", "registry: r.example.org/library/", (1, "registry", "not end in /")),
        ("pull secret", "imagePullSecrets: [ok, Not OK]", (1, "imagePullSecrets[1]", "not the name of a secret")),
        (
            "pull secret as an object",
            "imagePullSecrets:\n  - name: x",
            (2, "imagePullSecrets[0]", "wrong type: map, expected a string"),
        ),
        ("pull policy", "imagePullPolicy: Sometimes", (1, "imagePullPolicy", "\"IfNotPresent\"")),
        ("short name with a colon", "images: {'a:b': x}", (1, "images[\"a:b\"]", "is no short name")),
        ("image of no form", "images:\n  a: 'x y'", (2, "images.a", "is not an image reference")),
        ("taint with an effect", "tolerate:\n  - nvidia.com/gpu:NoSchedule", (2, "tolerate[0]", "is not a taint key")),
        ("redirect to nowhere", "redirects: {old: nope}", (1, "redirects.old", "\"nope\" is not the slug of a profile")),
        ("redirect of a slug in use", "redirects: {cpu: cpu}", (1, "redirects.cpu", "the profile at line 3 has it")),
        ("redirect to itself", "redirects: {a: a}", (1, "redirects.a", "leads back to itself")),
        ("volume without a name", "volumes:\n  - {claim: c, mountPath: /a, scope: user}", (2, "volumes[0].name", "is missing")),
        (
            "volume with a bad name",
            "volumes:\n  - {name: A_b, claim: c, mountPath: /a, scope: user}",
            (2, "volumes[0].name", "not the name of a volume"),
        ),
        ("volume without a path", "volumes: [{name: a, claim: c, scope: user}]", (1, "volumes[0].mountPath", "is missing")),
        (
            "volume with a relative path",
            "volumes: [{name: a, emptyDir: {}, mountPath: a}]",
            (1, "volumes[0].mountPath", "must begin with /"),
        ),
        ("volume at the root", "volumes: [{name: a, emptyDir: {}, mountPath: /}]", (1, "volumes[0].mountPath", "/ itself")),
        ("volume with dots", "volumes: [{name: a, emptyDir: {}, mountPath: /a/../b}]", (1, "volumes[0].mountPath", "..")),
        (
            "volume with a slash behind",
            "volumes: [{name: a, emptyDir: {}, mountPath: /a/}]",
            (1, "volumes[0].mountPath", "end in /"),
        ),
        (
            "volume with a stray brace",
            "volumes: [{name: a, emptyDir: {}, mountPath: '/a/{b'}]",
            (1, "volumes[0].mountPath", "write {{ and }}"),
        ),
        (
            "volume at /dev/shm",
            "volumes: [{name: a, emptyDir: {}, mountPath: /dev/shm}]",
            (1, "volumes[0].mountPath", "sharedMemory"),
        ),
        (
            "claim with a bad name",
            "volumes: [{name: a, claim: '{username}', mountPath: /a, scope: user}]",
            (1, "volumes[0].claim", "not the name of a claim"),
        ),
        (
            "claim without scope",
            "volumes: [{name: a, claim: c, mountPath: /a}]",
            (1, "volumes[0].scope", "is missing: write user"),
        ),
        (
            "scope unknown",
            "volumes: [{name: a, claim: c, mountPath: /a, scope: mine}]",
            (1, "volumes[0].scope", "unknown word \"mine\""),
        ),
        (
            "scope of an emptyDir",
            "volumes: [{name: a, emptyDir: {}, mountPath: /a, scope: user}]",
            (1, "volumes[0].scope", "claim only"),
        ),
        (
            "claim and emptyDir",
            "volumes: [{name: a, claim: c, emptyDir: {}, mountPath: /a}]",
            (1, "volumes[0]", "has a claim and an emptyDir"),
        ),
        ("neither claim nor emptyDir", "volumes: [{name: a, mountPath: /a}]", (1, "volumes[0]", "neither")),
        (
            "emptyDir of zero",
            "volumes: [{name: a, emptyDir: {sizeLimit: 0}, mountPath: /a}]",
            (1, "volumes[0].emptyDir.sizeLimit", "not above zero"),
        ),
        (
            "name of a volume twice",
            "volumes:\n  - {name: a, emptyDir: {}, mountPath: /a}\n  - {name: a, emptyDir: {}, mountPath: /b}",
            (3, "volumes[1].name", "volume at line 2 already"),
        ),
        (
            "path of a volume twice",
            "volumes:\n  - {name: a, emptyDir: {}, mountPath: /a}\n  - {name: b, emptyDir: {}, mountPath: /a}",
            (3, "volumes[1].mountPath", "where the volume at line 2 is mounted"),
        ),
        (
            "volume where the shared code is",
            "sharedCode: {enabled: true, mountPath: /a}\nvolumes:\n  - {name: b, emptyDir: {}, mountPath: /a}",
            (3, "volumes[0].mountPath", "where the shared code is mounted"),
        ),
        ("sharedCode with a relative path", "sharedCode: {hostPath: srv}", (1, "sharedCode.hostPath", "must begin with /")),
        ("sharedCode with a brace", "sharedCode: {mountPath: '/a}'}", (1, "sharedCode.mountPath", "write {{ and }}")),
        (
            "sharedCode with a bad label",
            "sharedCode: {nodes: {a b: ''}}",
            (1, "sharedCode.nodes[\"a b\"]", "not the key of a label"),
        ),
        ("sharedCode with a bad value", "sharedCode: {nodes: {a: 'b c'}}", (1, "sharedCode.nodes.a", "not the value of a label")),
        ("sharedCode nowhere", "sharedCode:\n  enabled: true\n  nodes: {}", (3, "sharedCode.nodes", "is empty")),
        (
            "sharedCode mount unknown",
            "sharedCode: {mount: always}",
            (1, "sharedCode.mount", "\"where-certain\" or \"best-effort\""),
        ),
        ("limit below zero", "limits: {gpusPerUser: -1}", (1, "limits.gpusPerUser", "expected a whole number")),
        ("limit by group", "limits:\n  groups: {a: many}", (2, "limits.groups.a", "wrong type")),
        ("limit for nobody", "limits:\n  groups: {' ': 1}", (2, "limits.groups[\" \"]", "a group has a name")),
        ("no architecture", "architectures: []", (1, "architectures", "name at least one")),
        ("odd architecture", "architectures: [amd 64]", (1, "architectures[0]", "not an architecture such as amd64")),
        (
            "pool without a kind",
            "expandable: [{gpusPerNode: 1, maxNodes: 1, labels: {a: b}}]",
            (1, "expandable[0].kind", "is missing"),
        ),
        (
            "pool without a size",
            "expandable: [{kind: x, maxNodes: 1, labels: {a: b}}]",
            (1, "expandable[0].gpusPerNode", "is missing: the GPUs of one node"),
        ),
        (
            "pool without labels",
            "expandable: [{kind: x, gpusPerNode: 1, maxNodes: 1}]",
            (1, "expandable[0].labels", "name the labels that new nodes have at once"),
        ),
        (
            "pool of a resource without a domain",
            "expandable: [{kind: x, gpusPerNode: 1, maxNodes: 1, labels: {a: b}, resource: gpu}]",
            (1, "expandable[0].resource", "not the name of a resource"),
        ),
        (
            "pool of no kind's id",
            "expandable: [{kind: NVIDIA L4, gpusPerNode: 1, maxNodes: 1, labels: {a: b}}]",
            (1, "expandable[0].kind", "not the id of a kind"),
        ),
        ("base with a key of the catalogue's style", "base: {nodeSelector: {}}", (1, "base.nodeSelector", "unknown key")),
        ("base with a bad quantity", "base: {requests: {cpu: x}}", (1, "base.requests.cpu", "is not a quantity")),
        ("base below zero", "base: {requests: {cpu: -1}}", (1, "base.requests.cpu", "below zero")),
        ("base as a list", "base: []", (1, "base", "is a list")),
    ];
    for (what, lines, error) in cases {
        assert_errors(what, &format!("{lines}\n{PROFILES}"), &[*error]);
    }
}

#[test]
fn a_gpu_rule_that_breaks_a_rule_is_named_by_line_and_key() {
    let cases: &[Case] = &[
        ("no resource", "vendor: x", (2, "gpuResources[0].resource", "is missing: write a name such as example.org/accel")),
        ("no domain", "resource: accel", (2, "gpuResources[0].resource", "is not the full name of a resource")),
        ("no name", "resource: 'a b/c'", (2, "gpuResources[0].resource", "is not the name of a resource")),
        ("no glob", "resource: 'a.org/[x'", (2, "gpuResources[0].resource", "is not a glob")),
        ("unknown key", "labels: []", (2, "gpuResources[0].labels", "unknown key \"labels\", expected one of \"resource\"")),
        ("vendor with capitals", "vendor: Acme", (2, "gpuResources[0].vendor", "does not fit the ids of kinds")),
        ("vendor with two dashes", "vendor: a--b", (2, "gpuResources[0].vendor", "single dashes")),
        ("sharing unknown", "sharing: half", (2, "gpuResources[0].sharing", "unknown word \"half\"")),
        ("label that is none", "productLabels: [a, b c]", (2, "gpuResources[0].productLabels[1]", "not the key of a label")),
        ("memory label that is none", "memoryLabel: a b", (2, "gpuResources[0].memoryLabel", "not the key of a label")),
        ("resource within a key", "productLabels: ['a.org/{resource}']", (2, "gpuResources[0].productLabels[0]", "not the key")),
        ("present label that is none", "presentLabels: ['']", (2, "gpuResources[0].presentLabels[0]", "not the key of a label")),
        (
            "present label of a glob",
            "presentLabels: [a]\nresource: a.org/*",
            (2, "gpuResources[0].presentLabels", "goes with the full name of a resource only"),
        ),
        ("exclude beside one", "exclude: ['a.org/*']", (2, "gpuResources[0].exclude", "\"a.org/b\" is one resource")),
        (
            "exclude no name",
            "exclude: ['a*']\nresource: a.org/*",
            (2, "gpuResources[0].exclude[0]", "\"a*\" is not the full name of a resource"),
        ),
        ("unit alone", "memoryUnit: GiB", (2, "gpuResources[0].memoryUnit", "goes with memoryLabel only")),
        ("unit unknown", "memoryLabel: a\nmemoryUnit: XB", (3, "gpuResources[0].memoryUnit", "expected one of \"B\", \"KiB\"")),
        ("replicas unshared", "replicasLabel: a", (2, "gpuResources[0].replicasLabel", "sharing: time-sliced or mps only")),
        ("a list", "[x]", (2, "gpuResources[0]", "is a list")),
    ];
    for (what, lines, error) in cases {
        let named = if lines.contains("resource:") || lines.starts_with('[') || *what == "no resource" {
            ""
        } else {
            "\nresource: a.org/b"
        };
        let rule = format!("{lines}{named}").replace('\n', "\n    ");
        assert_errors(what, &format!("gpuResources:\n  - {rule}\n{PROFILES}"), &[*error]);
    }
    let twice = format!("gpuResources:\n  - resource: a.org/b\n  - resource: a.org/b\n{PROFILES}");
    let message = "\"a.org/b\" is the resource of the rule at line 2 already";
    assert_errors("twice", &twice, &[(3, "gpuResources[1].resource", message)]);
    assert_errors("no list", &format!("gpuResources: {{}}\n{PROFILES}"), &[(1, "gpuResources", "expected a sequence")]);
}

#[test]
fn rules_between_profiles_name_the_lines_of_both() {
    let two = |first: &str, second: &str| {
        format!("profiles:\n  - {{title: A, image: ml-cpu, {first}}}\n  - {{title: B, image: ml-cpu, {second}}}\n")
    };
    assert_errors(
        "slug twice",
        &two("slug: a", "slug: a"),
        &[(3, "profiles[1].slug", "\"a\" is the slug of the profile at line 2 already")],
    );
    assert_errors(
        "two defaults",
        &two("slug: a, default: true", "slug: b, default: true"),
        &[(3, "profiles[1].default", "the profile at line 2 is the default already")],
    );
    let per_node = "profiles:\n  - {slug: on, title: '{node}', image: ml-gpu, gpu: {}, perNode: {}}\n  - {slug: on-a, title: A, image: ml-gpu}\n";
    assert_errors(
        "slug of a node's offer",
        per_node,
        &[(3, "profiles[1].slug", "could be an offer for a node of the profile at line 2")],
    );
}

#[test]
fn what_must_be_there_is_missed_at_the_line_of_what_lacks_it() {
    assert_errors(
        "empty profile",
        "profiles:\n\n  - {}\n",
        &[(3, "profiles[0].image", "is missing"), (3, "profiles[0].slug", "is missing"), (3, "profiles[0].title", "is missing")],
    );
    assert_errors("no profiles", "namespace: hub\nprofiles: []\n", &[(2, "profiles", "there is no profile")]);
    assert_errors("profiles left out", "\nnamespace: hub\n", &[(2, "profiles", "there is no profile")]);
    for empty in ["", "\n", "# nothing\n", "---\n", "~\n"] {
        assert_errors("empty file", empty, &[(1, "profiles", "the file is empty: a catalogue needs at least one profile")]);
    }
}

#[test]
fn redirects_in_a_circle_are_each_named_and_what_leads_there_is_not() {
    let text = format!("redirects:\n  a: b\n  b: a\n  c: a\n  d: e\n  e: nope\n{PROFILES}");
    assert_errors(
        "circle",
        &text,
        &[
            (2, "redirects.a", "leads back to itself"),
            (3, "redirects.b", "leads back to itself"),
            (6, "redirects.e", "\"nope\" is not the slug of a profile"),
        ],
    );
}

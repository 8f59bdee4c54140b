//! Reads the kubelet's events of the hub's pods: what a server on its node still waits for.
//!
//! Only the last news of each pod is kept, and how large images are. Source of the sentences: `pkg/kubelet/events`,
//! `pkg/kubelet/images/image_manager.go` and `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

use std::collections::BTreeMap;

use super::facts::{Decoded, key};
use super::images::ImageSizes;
use super::index::Update;
use super::objects::Event;
use crate::domain::image::fingerprint;
use crate::domain::server::Progress;

/// Pods remembered at most.
const MOST: usize = 10_000;
/// Characters of an image's name at most; the longest legal one is shorter.
const LONGEST_IMAGE: usize = 512;

/// What the apiserver need not send: frequent, and nothing that is read here.
pub const SELECTOR: &str = "involvedObject.kind=Pod,reason!=Unhealthy,reason!=FailedScheduling,reason!=Scheduled,reason!=Killing";

#[derive(Debug)]
pub struct EventFacts {
    /// Namespace and name.
    pod: String,
    /// RFC 3339, for the order within a list.
    at: String,
    news: News,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Pulling(String),
    PullFailed(String),
    MountFailed,
    SandboxFailed,
    Pulled { image: String, bytes: Option<u64> },
    ContainerFailed,
}

pub fn event(event: Event) -> Decoded<EventFacts> {
    let of = event.involved_object;
    let news = (of.kind == "Pod").then(|| news(&event.reason, &event.message)).flatten();
    let at =
        [event.last_timestamp, event.event_time, event.metadata.creation_timestamp.clone()].into_iter().find(|at| !at.is_empty());
    let fact = news.map(|news| EventFacts { pod: format!("{}/{}", of.namespace, of.name), at: at.unwrap_or_default(), news });
    Decoded { key: key(&event.metadata), fact }
}

fn news(reason: &str, message: &str) -> Option<News> {
    let image = || {
        let image = message.split('"').nth(1)?;
        (image.len() <= LONGEST_IMAGE).then(|| image.to_owned())
    };
    match reason {
        "Pulling" => image().map(News::Pulling),
        "Pulled" => {
            let size = message.split("Image size: ").nth(1).and_then(|rest| rest.split(' ').next());
            Some(News::Pulled { image: image()?, bytes: size.and_then(|size| size.parse().ok()) })
        }
        // The same reason tells, in other words, of an image that could not be pulled.
        "Failed" if is_of_container(message) => (!message.contains("ImagePull")).then_some(News::ContainerFailed),
        "Failed" | "BackOff" if message.contains("pull") => image().map(News::PullFailed),
        "FailedMount" | "FailedAttachVolume" => Some(News::MountFailed),
        "FailedCreatePodSandBox" => Some(News::SandboxFailed),
        _ => None,
    }
}

fn is_of_container(message: &str) -> bool {
    ["Error: ", "Internal Pre"].iter().any(|start| message.starts_with(start))
}

/// The last news by pod, and the sizes of images.
#[derive(Debug, Default)]
pub struct Events {
    last: BTreeMap<String, News>,
    pub sizes: ImageSizes,
}

impl Events {
    /// An event that is gone was only old.
    pub fn apply(&mut self, update: Update<EventFacts>) {
        match update {
            Update::All(mut all) => {
                self.last.clear();
                // Within one second an image is pulled before it has been pulled.
                all.sort_by(|(_, a), (_, b)| (&a.at, &a.news).cmp(&(&b.at, &b.news)));
                all.into_iter().for_each(|(_, event)| self.set(event));
            }
            Update::Set(_, event) => self.set(event),
            Update::Gone(_) => {}
        }
    }

    fn set(&mut self, EventFacts { pod, news, .. }: EventFacts) {
        if let News::Pulled { image, bytes } = news {
            self.last.remove(&pod);
            if let Some(bytes) = bytes {
                self.sizes.learn(fingerprint(&image), bytes);
            }
        } else if self.last.len() < MOST || self.last.contains_key(&pod) {
            self.last.insert(pod, news);
        }
    }

    /// Nothing more is kept before something is let go.
    pub fn are_full(&self) -> bool {
        self.last.len() >= MOST
    }

    pub fn forget(&mut self, pod: &str) {
        self.last.remove(pod);
    }

    pub fn keep(&mut self, lives: impl Fn(&str) -> bool) {
        self.last.retain(|pod, _| lives(pod));
    }

    /// What a pod waits for on its node.
    pub fn progress(&self, pod: &str) -> Option<Progress> {
        match self.last.get(pod)? {
            News::Pulling(image) => Some(Progress::Pulling { image: image.clone(), bytes: self.sizes.of(image) }),
            News::PullFailed(image) => Some(Progress::PullFailed { image: image.clone() }),
            News::MountFailed => Some(Progress::MountFailed),
            News::SandboxFailed => Some(Progress::SandboxFailed),
            News::ContainerFailed => Some(Progress::ContainerFailed),
            // Nobody waits for what is done.
            News::Pulled { .. } => None,
        }
    }
}

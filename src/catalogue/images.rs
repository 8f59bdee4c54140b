//! Short names of images, and what they stand for.

use std::collections::BTreeMap;

use super::model::ImageChoice;
use super::node::Path;
use super::report::Report;
use super::{format, names};

/// The table that profiles' images are looked up in.
pub(super) struct Images {
    registry: Option<String>,
    /// The built-in names and those of the file, which win.
    references: BTreeMap<String, String>,
}

impl Images {
    pub fn new(registry: Option<String>, images: BTreeMap<String, String>, report: &mut Report) -> Self {
        if let Some((registry, problem)) = registry.as_deref().and_then(|text| Some((text, names::registry_problem(text)?))) {
            report.error(&Path::root("registry"), format!("{registry:?} {problem}"));
        }
        let root = Path::root("images");
        for (name, reference) in &images {
            let path = root.key(name);
            if name.is_empty() || is_reference(name) {
                report.error(&path, format!("{name:?} is no short name: it must not be empty nor contain / or :"));
            }
            if let Some(problem) = names::image_problem(reference) {
                report.error(&path, format!("{reference:?} is not an image reference: {problem}"));
            }
        }
        let mut references = format::images();
        references.extend(images);
        Self { registry, references }
    }

    /// What a profile's `image` and `images` come to, the default first. Each error is at the key that has it.
    pub fn choices(&self, image: Option<String>, list: Option<&[String]>, at: &Path, report: &mut Report) -> Vec<ImageChoice> {
        let (one, many) = (at.key("image"), at.key("images"));
        let unread = report.is_reported(&one) || report.is_reported(&many);
        let mut choices: Vec<ImageChoice> = Vec::new();
        for (index, name) in list.unwrap_or_default().iter().enumerate() {
            let path = many.index(index);
            if choices.iter().any(|choice| choice.id == *name) {
                report.error(&path, format!("{name:?} is in the list already"));
            } else {
                choices.push(self.choice(name, &path, report));
            }
        }
        match image {
            Some(name) => match choices.iter().position(|choice| choice.id == name) {
                Some(position) => choices.get_mut(..=position).unwrap_or_default().rotate_right(1),
                None if choices.is_empty() => choices.push(self.choice(&name, &one, report)),
                None if unread => {}
                None => report.error(
                    &one,
                    format!("{name:?} is not in the images of this profile: add it there, or leave one of both out"),
                ),
            },
            None if choices.is_empty() && !unread => {
                report.error(&one, "is missing: name an image, by its short name or its full reference");
            }
            None => {}
        }
        choices
    }

    fn choice(&self, name: &str, path: &Path, report: &mut Report) -> ImageChoice {
        let reference = if is_reference(name) {
            if let Some(problem) = names::image_problem(name) {
                report.error(path, format!("{name:?} is not an image reference: {problem}"));
            }
            name
        } else if let Some(reference) = self.references.get(name) {
            reference
        } else {
            if !report.is_reported(&Path::root("images").key(name)) {
                let known = self.references.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                report.error(path, format!("{name:?} is no image that images names (there are {known}), nor a full reference"));
            }
            name
        };
        let reference = match &self.registry {
            Some(registry) if !reference.contains('/') => format!("{registry}/{reference}"),
            _ => reference.to_owned(),
        };
        ImageChoice { id: name.to_owned(), reference }
    }
}

/// What tells a reference from a short name.
fn is_reference(name: &str) -> bool {
    name.contains(['/', ':'])
}

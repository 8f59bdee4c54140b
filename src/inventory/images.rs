//! How large images are: as nodes list those that they have, and as the kubelet says of one that it has pulled.

use std::collections::BTreeMap;

use crate::domain::image::fingerprint;

/// Names of images remembered at most.
const MOST: usize = 20_000;
/// Whatever is smaller than this many bytes on a node is pulled before anybody asks.
pub const LARGE: u64 = 100_000_000;

/// Bytes by the fingerprint of a name.
#[derive(Debug, Default)]
pub struct ImageSizes(BTreeMap<u64, u64>);

impl ImageSizes {
    pub fn learn(&mut self, image: u64, bytes: u64) {
        // Nodes tell theirs again within minutes.
        if self.0.len() >= MOST && !self.0.contains_key(&image) {
            self.0.clear();
        }
        self.0.insert(image, bytes);
    }

    pub fn of(&self, reference: &str) -> Option<u64> {
        self.0.get(&fingerprint(reference)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut sizes = ImageSizes::default();
        for image in 0..3 * MOST as u64 {
            sizes.learn(image, LARGE);
            assert!(sizes.0.len() <= MOST && sizes.0.contains_key(&image));
        }
        sizes.learn(fingerprint("python"), 7);
        assert_eq!(sizes.of("docker.io/library/python:latest"), Some(7));
    }
}

//! Which logins fit an image.

/// The keys that fit `image` - registry and path - best first: its whole name,
/// then one component less each time, down to the registry.
pub(super) fn candidates(image: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(image), |longer| {
        longer.rsplit_once('/').map(|(shorter, _)| shorter)
    })
}

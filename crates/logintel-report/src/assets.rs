//! The page's style and script, and what it lets a browser do.
//!
//! The policy names both by their hash, so that nothing else can run, whatever a page holds, and lets the page load nothing at
//! all. A test holds the hashes against the files.

/// The style. ASCII.
pub const STYLE: &str = include_str!("style.css");
/// The script, which sorts tables. ASCII.
pub const SCRIPT: &str = include_str!("sort.js");

/// The Content-Security-Policy.
pub const POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-493BxQwxY6FJrlR985KhdlJJYhCzAwkWO5HNmLwQb10='; ",
    "script-src 'sha256-yQ4eLQllgPY7XnTGa+okxt0yRK4DYtmjzqLhYo0qsO0='; ",
    "base-uri 'none'; form-action 'none'",
);

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use sha2::Digest as _;

    fn source(text: &str) -> String {
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text));
        format!("'sha256-{hash}'")
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script() {
        for (directive, asset) in [("style-src", STYLE), ("script-src", SCRIPT)] {
            let wanted = format!("{directive} {};", source(asset));
            assert!(POLICY.contains(&wanted), "the policy should say: {wanted}");
        }
    }

    #[test]
    fn assets_stay_as_they_are() {
        // A browser hashes what lies between the tags.
        for asset in [STYLE, SCRIPT] {
            assert!(asset.is_ascii() && !asset.contains("</") && !asset.contains("<!--"));
            assert!(!asset.contains('\r') && !asset.contains("http") && !asset.contains("url("));
        }
    }
}

//! Inputs that are kept: `corpus/TARGET.txt`, one a line, written as Rust writes bytes in a literal. A line that begins with
//! `# ` says what the next was kept for; those without such a word are what reached most of the code.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// The inputs of a target.
///
/// # Panics
/// Where its file is missing, or a line is not written as it should be.
pub fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let lines = fs::read_to_string(path(target)).unwrap_or_else(|error| panic!("{}: {error}", target.name));
    let inputs = lines.lines().filter(|line| !is_remark(line));
    inputs.map(|line| unescape(line).unwrap_or_else(|| panic!("{}: {line}", target.name))).collect()
}

/// Writes each input into a file of its own.
///
/// # Errors
/// Those of the files.
pub fn unpack(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut inputs = inputs(target).into_iter().enumerate();
    inputs.try_for_each(|(at, input)| fs::write(folder.join(format!("kept-{at:04}")), input))
}

/// Keeps the files of a folder, the shortest first, beside those that are kept for a reason.
///
/// # Errors
/// Those of the files.
pub fn pack(target: &Target, folder: &Path) -> io::Result<()> {
    let old = fs::read_to_string(path(target)).unwrap_or_default();
    let lines: Vec<&str> = old.lines().collect();
    let mut kept: Vec<String> =
        lines.windows(2).filter(|pair| is_remark(pair[0])).flatten().map(|&line| line.to_owned()).collect();
    let mut new = Vec::new();
    for entry in fs::read_dir(folder)? {
        new.push(escape(&fs::read(entry?.path())?));
    }
    new.retain(|line| !kept.contains(line));
    new.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    kept.extend(new);
    kept.push(String::new());
    fs::write(path(target), kept.join("\n"))
}

fn path(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{}.txt", target.name))
}

fn is_remark(line: &str) -> bool {
    line.starts_with("# ")
}

/// Bytes as a line that is no remark.
fn escape(bytes: &[u8]) -> String {
    let line = bytes.escape_ascii().to_string();
    if is_remark(&line) { line.replacen('#', r"\x23", 1) } else { line }
}

/// The bytes of a line that [`escape`] wrote.
fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'x' => {
                    let mut digit = || char::from(rest.next()?).to_digit(16);
                    (digit()? << 4 | digit()?) as u8
                }
                escaped => escaped,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{escape, is_remark, unescape};

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        assert!(!is_remark(&escape(b"# 1")));
        assert_eq!(unescape(&escape(b"# 1")).as_deref(), Some(&b"# 1"[..]));
        assert_eq!(unescape(r"\x4"), None);
    }
}

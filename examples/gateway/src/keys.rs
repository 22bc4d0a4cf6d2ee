//! The keys that seal session records, from a file.

use std::{error::Error, fs, path::Path};

use bartizan::{core::ConfigError, resume::KeyRing};

/// Reads a ring of keys: each line an id from 0 to 255 and a secret of 64 hexadecimal digits. The first key seals, and
/// every key opens. Empty lines and lines that begin with `#` are skipped.
///
/// # Errors
///
/// If the file cannot be read or a line is invalid; the message has the number of the line, but not its text.
pub(crate) fn read(file: &Path) -> Result<KeyRing, Box<dyn Error + Send + Sync>> {
    let text = fs::read_to_string(file);
    let keys = text.map_err(|error| error.to_string()).and_then(|text| parse(&text));
    keys.map_err(|error| format!("--record-keys {}: {error}", file.display()).into())
}

fn parse(text: &str) -> Result<KeyRing, String> {
    let mut ring: Option<KeyRing> = None;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (id, secret) = key(text).ok_or_else(|| {
            format!("line {line}: expected an id from 0 to 255 and 64 hexadecimal digits")
        })?;
        let added = match ring {
            None => KeyRing::new(id, &secret),
            Some(ring) => ring.accept(id, &secret),
        };
        ring = Some(added.map_err(|error: ConfigError| format!("line {line}: {error}"))?);
    }
    ring.ok_or_else(|| "it contains no key".to_owned())
}

fn key(line: &str) -> Option<(u8, [u8; KeyRing::SECRET_BYTES])> {
    let (id, digits) = line.split_once(char::is_whitespace)?;
    let mut secret = [0; KeyRing::SECRET_BYTES];
    let read = base16ct::mixed::decode(digits.trim(), &mut secret).ok()?;
    (read.len() == KeyRing::SECRET_BYTES).then_some((id.parse().ok()?, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    #[test]
    fn the_first_key_seals_and_all_open() {
        let other = A.replace("00", "01");
        let ring = parse(&format!("# rotated today\n\n 2  {A}\n1\t{other}\r\n")).unwrap();
        let sealed = ring.seal(b"content", b"").unwrap();
        assert_eq!(parse(&format!("2 {A}")).unwrap().open(&sealed, b"").unwrap(), b"content");
        assert!(parse(&format!("1 {other}")).unwrap().open(&sealed, b"").is_none());
        let sealed = parse(&format!("1 {other}")).unwrap().seal(b"content", b"").unwrap();
        assert_eq!(ring.open(&sealed, b"").unwrap(), b"content");
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_not_repeated() {
        let cases = [
            (format!("1 {A}\n2 {}", &A[2..]), "line 2: expected"),
            (format!("1 {A}00"), "line 1: expected"),
            (format!("256 {A}"), "line 1: expected"),
            (A.to_owned(), "line 1: expected"),
            (format!("1 {}", A.replace('f', "g")), "line 1: expected"),
            (format!("1 {A}\n\n1 {A}"), "line 3: the key id 1 is used twice"),
            ("# nothing\n".to_owned(), "it contains no key"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("445566"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/keys")).unwrap_err().to_string();
        assert!(error.starts_with("--record-keys /nowhere/keys: "), "{error}");
    }
}

//! The size of a body that was read in part.

use http_body::SizeHint;

/// The size of a body of which `read_bytes` were read and will be given again, before `rest` if any is
/// left.
#[must_use]
pub fn size_with_read(read_bytes: usize, rest: Option<SizeHint>) -> SizeHint {
    let (read, rest) = (read_bytes as u64, rest.unwrap_or_else(|| SizeHint::with_exact(0)));
    let mut whole = SizeHint::new();
    whole.set_lower(rest.lower().saturating_add(read));
    if let Some(upper) = rest.upper() {
        whole.set_upper(upper.saturating_add(read));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_and_what_is_unknown_stays_so() {
        assert_eq!(size_with_read(3, None).exact(), Some(3));
        assert_eq!(size_with_read(3, Some(SizeHint::with_exact(4))).exact(), Some(7));
        let unknown = size_with_read(3, Some(SizeHint::default()));
        assert_eq!((unknown.lower(), unknown.upper()), (3, None));
        assert_eq!(size_with_read(3, Some(SizeHint::with_exact(u64::MAX))).exact(), Some(u64::MAX));
    }
}

//! Where an event of an event stream ends
//! ([HTML, Parsing an event stream](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)).
//!
//! A line ends with CR LF, LF or CR; an event ends with an empty line; a line that begins with a colon is a
//! comment and belongs to no event. Between two events a comment may be put in.

/// Follows an event stream, however it is cut into pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Boundary {
    line: Line,
    is_in_event: bool,
    is_after_cr: bool,
}

/// The line that is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Line {
    /// Nothing of it has come.
    #[default]
    Empty,
    Comment,
    Field,
}

impl Boundary {
    /// Takes the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            let ends_a_line = byte == b'\r' || byte == b'\n' && !self.is_after_cr;
            if ends_a_line {
                match self.line {
                    Line::Empty => self.is_in_event = false,
                    Line::Field => self.is_in_event = true,
                    Line::Comment => {}
                }
                self.line = Line::Empty;
            } else if byte != b'\n' && self.line == Line::Empty {
                self.line = if byte == b':' { Line::Comment } else { Line::Field };
            }
            self.is_after_cr = byte == b'\r';
        }
    }

    /// Whether a comment that is put in here touches no event: none has begun, or the last one is over. A
    /// CR that is half of a CR LF does no harm: what is left of it is an empty line between events.
    pub(crate) fn is_between_events(self) -> bool {
        self.line == Line::Empty && !self.is_in_event
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keep_alive::COMMENT;

    fn is_between(text: &str) -> bool {
        let mut boundary = Boundary::default();
        boundary.feed(text.as_bytes());
        boundary.is_between_events()
    }

    #[test]
    fn an_event_ends_with_an_empty_line() {
        for between in [
            "",
            "\n",
            "data: x\n\n",
            "data: x\r\n\r\n",
            "data: x\r\r",
            "data: x\n\r",
            "data: x\r\n\n",
            "id: 1\ndata: x\n\nretry: 1\n\n",
            ": a comment\n",
            ":\n:\n",
            "data: x\n\n: a comment\r\n",
            "data\n: a comment in an event\n\n",
        ] {
            assert!(is_between(between), "{between:?}");
        }
        for inside in [
            "d",
            "data: x",
            "data: x\n",
            "data: x\r",
            "data: x\r\n",
            "data: x\n\ndata: y\n",
            "data: x\n: a comment in an event\n",
            "data: x\n\n: half a comment",
            ":",
            "data: x\n\n ",
        ] {
            assert!(!is_between(inside), "{inside:?}");
        }
    }

    /// What an event source makes of a stream, as the specification has it.
    fn events(stream: &[u8]) -> Vec<(String, String, String)> {
        let text = String::from_utf8(stream.to_vec()).unwrap().replace("\r\n", "\n");
        let mut lines: Vec<_> = text.split(['\n', '\r']).collect();
        // Text after the last line end is not a line.
        lines.pop();
        let (mut name, mut data, mut id) = (String::new(), String::new(), String::new());
        let mut events = Vec::new();
        for line in lines {
            if line.is_empty() {
                if !data.is_empty() {
                    events.push((std::mem::take(&mut name), std::mem::take(&mut data), id.clone()));
                }
                name.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "data" => data = format!("{data}{value}\n"),
                "id" => id = value.to_owned(),
                _ => {}
            }
        }
        events
    }

    fn streams() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\n"),
            Just("\r"),
            Just("\r\n"),
            Just("\n\n"),
            Just(":"),
            Just(" "),
            Just("x"),
            Just("data"),
            Just("data: x"),
            Just("event: e"),
            Just("id: 7"),
            Just(": c"),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Comments wherever they are allowed change no event, whatever the stream is and however it comes.
        #[test]
        fn a_comment_between_events_changes_none(stream in streams(), step in 1..5_usize) {
            let (mut boundary, mut with_comments) = (Boundary::default(), Vec::new());
            for piece in stream.as_bytes().chunks(step) {
                if boundary.is_between_events() {
                    with_comments.extend_from_slice(COMMENT);
                }
                boundary.feed(piece);
                with_comments.extend_from_slice(piece);
            }
            prop_assert_eq!(events(&with_comments), events(stream.as_bytes()));
        }

        /// The pieces in which a stream comes make no difference.
        #[test]
        fn pieces_make_no_difference(stream in streams(), step in 1..5_usize) {
            let mut boundary = Boundary::default();
            stream.as_bytes().chunks(step).for_each(|piece| boundary.feed(piece));
            prop_assert_eq!(boundary.is_between_events(), is_between(&stream));
        }

        /// After an empty line an event is over, whatever came before.
        #[test]
        fn an_empty_line_ends_any_event(stream in streams()) {
            for end in ["\n\n", "\r\n\r\n", "\r\r"] {
                let ended = [&stream, end].concat();
                prop_assert!(is_between(&ended));
            }
        }
    }
}

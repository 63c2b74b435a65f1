//! Mistakes of YAML itself: libyaml's sentence, the place, and a plain hint.

use std::ops::Range;

use granit_parser::{ErrorKind, ScanError};

/// Why a text is no YAML that GitLab would load.
#[derive(Debug)]
pub(super) struct Mistake {
    pub code: &'static str,
    pub message: String,
    /// Bytes of the text handed in.
    pub range: Range<usize>,
    pub help: Option<String>,
}

impl Mistake {
    pub(super) fn new(
        code: &'static str,
        message: impl Into<String>,
        range: Range<usize>,
        help: &str,
    ) -> Mistake {
        let help = (!help.is_empty()).then(|| help.to_owned());
        Mistake {
            code,
            message: message.into(),
            range,
            help,
        }
    }

    pub(super) fn too_big(range: Range<usize>, help: &str) -> Mistake {
        Mistake::new("yaml-too-big", "The parsed YAML is too big", range, help)
    }
}

const CODE: &str = "yaml-syntax";
const NO_TOKEN: &str =
    "found character that cannot start any token while scanning for the next token";
const NO_KEY: &str = "did not find expected key while parsing a block mapping";
const NO_CONTENT: &str = "did not find expected node content while parsing a flow node";
const TAB_HELP: &str = "a tab cannot indent in YAML: use spaces";
const CLOSE_HELP: &str = "it is opened here and not closed in its turn";

/// Says what GitLab would say. `open` is the innermost open collection, true for a
/// list.
pub(super) fn explain(error: &ScanError, text: &str, open: Option<bool>) -> Mistake {
    let at = error
        .marker()
        .byte_offset()
        .unwrap_or(text.len())
        .min(text.len());
    let here = char_range(text, at);
    let mistake = |message: &str, help: &str| Mistake::new(CODE, message, here.clone(), help);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            Mistake::too_big(here, "lists and maps may be nested 100 deep")
        }
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed => Mistake::new(CODE, NO_TOKEN, tab_near(text, at), TAB_HELP),
        ErrorKind::TabInPlainScalar => {
            let message =
                "found a tab character that violates indentation while scanning a plain scalar";
            Mistake::new(CODE, message, tab_near(text, at), TAB_HELP)
        }
        ErrorKind::TabAtBlockScalarStart => {
            let message = "found a tab character where an indentation space is expected \
                           while scanning a block scalar";
            Mistake::new(CODE, message, tab_near(text, at), TAB_HELP)
        }
        ErrorKind::UnexpectedCharacter { character: '\t' } => {
            Mistake::new(CODE, NO_TOKEN, here, TAB_HELP)
        }
        ErrorKind::UnexpectedCharacter { character } => mistake(
            NO_TOKEN,
            &format!("an unquoted value cannot start with {character}: put the value in quotes"),
        ),
        ErrorKind::MappingValueNotAllowed => mistake(
            "mapping values are not allowed in this context",
            "a value with a colon and a space in it needs quotes; \
             if this is a key, check its indentation",
        ),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => mistake(
            "block sequence entries are not allowed in this context",
            "a list starts on the line below its key; a value that begins with a dash needs quotes",
        ),
        ErrorKind::UnclosedFlowCollection { open: '{' }
        | ErrorKind::MismatchedFlowCollectionEnd { open: '{', .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => mistake(
            "did not find expected ',' or '}' while parsing a flow mapping",
            CLOSE_HELP,
        ),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowSequenceSeparator => mistake(
            "did not find expected ',' or ']' while parsing a flow sequence",
            CLOSE_HELP,
        ),
        ErrorKind::UnclosedQuotedScalar => mistake(
            "found unexpected end of stream while scanning a quoted scalar",
            "the quote that opens here has no end",
        ),
        ErrorKind::UnknownQuotedScalarEscape => mistake(
            "found unknown escape character while parsing a quoted scalar",
            "in double quotes a backslash starts an escape: write two, or use single quotes",
        ),
        ErrorKind::InvalidQuotedScalarHexEscape | ErrorKind::InvalidLowSurrogateHexEscape => {
            mistake(
                "did not find expected hexdecimal number while parsing a quoted scalar",
                "",
            )
        }
        ErrorKind::InvalidBlockScalarHeader => mistake(
            "did not find expected comment or line break while scanning a block scalar",
            "the text of a block starts on the next line; \
             a value that begins with | or > needs quotes",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => mistake(
            "could not find expected ':' while scanning a simple key",
            "every line of a map is `key: value`",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => mistake(
            match open {
                Some(true) => {
                    "did not find expected '-' indicator while parsing a block collection"
                }
                _ => NO_KEY,
            },
            "text follows the closing quote: put the whole value in quotes",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::UnexpectedEofBlockMapping => mistake(
            NO_KEY,
            "the keys of one map start in the same column, and each line is `key: value`",
        ),
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::UnexpectedEofBlockSequence => mistake(
            "did not find expected '-' indicator while parsing a block collection",
            "the items of one list start in the same column",
        ),
        ErrorKind::ExpectedNodeContent => mistake(NO_CONTENT, ""),
        ErrorKind::MisplacedFlowCollectionEnd => mistake(
            "did not find expected node content while parsing a block node",
            "nothing is open that this could close",
        ),
        ErrorKind::UndeclaredTagHandle => {
            mistake("found undefined tag handle while parsing a node", "")
        }
        _ => mistake(&error.kind().to_string(), ""),
    }
}

/// A value inside of brackets that begins with a colon.
pub(super) fn colon(range: Range<usize>) -> Mistake {
    Mistake::new(
        CODE,
        NO_CONTENT,
        range,
        "inside [ ] and { } a value cannot begin with a colon: put it in quotes",
    )
}

/// Characters that libyaml's reader refuses anywhere.
pub(super) fn control_character(text: &str) -> Option<Mistake> {
    let (at, char) = text.char_indices().find(|(_, char)| {
        !matches!(
            char,
            '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..
        )
    })?;
    let message = "control characters are not allowed";
    let help = format!("the character U+{:04X} stands here", u32::from(char));
    Some(Mistake::new(CODE, message, char_range(text, at), &help))
}

/// The character that starts at or contains a byte.
pub(super) fn char_range(text: &str, at: usize) -> Range<usize> {
    let start = (0..=at)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let width = text[start..]
        .chars()
        .next()
        .filter(|char| *char != '\n')
        .map_or(0, char::len_utf8);
    start..start + width
}

/// The tab in the indentation of the line of `at`, or of one soon after: of a value
/// over several lines the parser tells only where it starts.
fn tab_near(text: &str, at: usize) -> Range<usize> {
    let here = char_range(text, at);
    let mut line_start = text[..here.start].rfind('\n').map_or(0, |end| end + 1);
    for line in text[line_start..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return line_start + tab..line_start + tab + 1;
        }
        line_start += line.len();
    }
    here
}

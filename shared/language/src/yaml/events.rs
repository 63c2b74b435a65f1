//! The one place that knows the YAML parser: its events, in our words.

use std::ops::Range;

use granit_parser::{Event as Raw, Parser, ScalarStyle, ScanError, StrInput, Tag, options};

use super::{MAX_DEPTH, syntax};

/// A step through a document; ranges are bytes of the text handed in.
#[derive(Debug)]
pub(super) struct Event {
    pub range: Range<usize>,
    pub kind: Kind,
}

/// What an [`Event`] says. An anchor is a number unique in its document, 0 for none.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar {
        text: String,
        plain: bool,
        tag: Option<String>,
        anchor: usize,
    },
    SeqStart {
        tag: Option<String>,
        anchor: usize,
    },
    MapStart {
        tag: Option<String>,
        anchor: usize,
    },
    End,
    Alias(usize),
    UnknownAlias(String),
}

/// The events of the first document of a text, up to the first mistake.
pub(super) struct Events<'text> {
    text: &'text str,
    parser: Parser<'text, StrInput<'text>>,
    /// The lists and maps now open: whether each is a list.
    open: Vec<bool>,
    /// How many of them are written with brackets.
    flow: usize,
    done: bool,
}

impl<'text> Events<'text> {
    pub(super) fn new(text: &'text str) -> Events<'text> {
        let options = options! {
            emit_unresolved_aliases: true,
            emit_comments: false,
            // As libyaml reads both.
            block_scalar_eof_without_line_feed: true,
            bom_inside_document_as_content: true,
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1,
        };
        let parser = Parser::new_from_str_with_options(text, options);
        Events {
            text,
            parser,
            open: Vec::new(),
            flow: 0,
            done: false,
        }
    }

    /// Where more stands behind the document, which GitLab's loader never looks at.
    pub(super) fn ignored(&mut self) -> Option<usize> {
        let start = match self.parser.next_event()? {
            Ok((Raw::StreamEnd, _)) => return None,
            Ok((_, span)) => span.byte_range()?.start,
            Err(error) => error.marker().byte_offset()?,
        };
        Some(start.min(self.text.len()))
    }

    fn track(&mut self, event: &Raw<'_>, range: &Range<usize>) {
        let bracket = self.text.get(range.start..).unwrap_or_default();
        let bracket = bracket.starts_with(['[', '{']);
        match event {
            Raw::SequenceStart(..) | Raw::MappingStart(..) => {
                self.open.push(matches!(event, Raw::SequenceStart(..)));
                // Inside brackets there are only brackets.
                self.flow += usize::from(bracket || self.flow > 0);
            }
            Raw::SequenceEnd | Raw::MappingEnd => {
                self.open.pop();
                self.flow = self.flow.saturating_sub(1);
            }
            Raw::DocumentEnd => self.done = true,
            _ => {}
        }
    }

    fn mistake(&mut self, error: &ScanError) -> syntax::Mistake {
        self.done = true;
        syntax::explain(error, self.text, self.open.last().copied())
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, syntax::Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let (event, span) = match self.parser.next_event()? {
                Ok(next) => next,
                Err(error) => return Some(Err(self.mistake(&error))),
            };
            let range = span.byte_range().unwrap_or(0..0);
            self.track(&event, &range);
            let kind = match event {
                // libyaml reads that colon as the one between key and value.
                Raw::Scalar(text, ScalarStyle::Plain, ..)
                    if self.flow > 0 && text.starts_with(':') =>
                {
                    self.done = true;
                    return Some(Err(syntax::colon(range)));
                }
                Raw::Scalar(text, style, anchor, tag) => Kind::Scalar {
                    // The parser shows an empty scalar as `~`.
                    text: if span.is_empty() && style == ScalarStyle::Plain {
                        String::new()
                    } else {
                        text.into_owned()
                    },
                    plain: style == ScalarStyle::Plain,
                    tag: tag.as_deref().map(tag_name),
                    anchor,
                },
                Raw::SequenceStart(_, anchor, tag) => Kind::SeqStart {
                    tag: tag.as_deref().map(tag_name),
                    anchor,
                },
                Raw::MappingStart(_, anchor, tag) => Kind::MapStart {
                    tag: tag.as_deref().map(tag_name),
                    anchor,
                },
                Raw::SequenceEnd | Raw::MappingEnd => Kind::End,
                Raw::Alias(anchor) => Kind::Alias(anchor),
                Raw::UnresolvedAlias(name) => Kind::UnknownAlias(name.into_owned()),
                _ => continue,
            };
            return Some(Ok(Event { range, kind }));
        }
        None
    }
}

/// `!!int` as `tag:yaml.org,2002:int`, `!vault` as it is.
fn tag_name(tag: &Tag) -> String {
    format!("{}{}", tag.handle(), tag.suffix())
}

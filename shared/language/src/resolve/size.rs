//! How large a tree is, and how much may still be made.

use crate::{Diagnostic, Map, Node, Span, Value};

/// Nodes of a resolved configuration, as many as GitLab lets inputs make.
const MAX_NODES: usize = 500_000;

/// Text of a resolved configuration.
const MAX_BYTES: usize = 64 << 20;

/// The size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Values, keys included.
    pub(crate) nodes: usize,
    /// Bytes of text in them, and some for each node.
    pub(crate) bytes: usize,
}

impl Size {
    /// Measures a tree.
    pub(crate) fn of(node: &Node) -> Size {
        let mut size = Size {
            nodes: 1,
            bytes: size_of::<Node>(),
        };
        match &node.value {
            Value::String(text) => size.bytes += text.len(),
            Value::Seq(items) | Value::Reference(items) => {
                items.iter().for_each(|item| size.add(Size::of(item)));
            }
            Value::Map(map) => size.add(Size::of_map(map)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
        size
    }

    /// Measures the entries of a map.
    pub(crate) fn of_map(map: &Map) -> Size {
        let mut size = Size::default();
        for entry in &map.entries {
            size.add(Size::of(&entry.key));
            size.add(Size::of(&entry.value));
        }
        size
    }

    fn add(&mut self, other: Size) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What the passes may still make.
#[derive(Debug)]
pub(crate) struct Budget {
    used: Size,
}

impl Budget {
    /// A budget of which the files themselves take the first part.
    pub(crate) fn new(root: &Map) -> Budget {
        Budget {
            used: Size::of_map(root),
        }
    }

    /// Takes a copy of a tree from the budget; the error is for the user.
    pub(crate) fn take(&mut self, size: Size, at: Span) -> Result<(), Diagnostic> {
        self.used.add(size);
        if self.used.nodes > MAX_NODES || self.used.bytes > MAX_BYTES {
            let message = "The parsed YAML is too big";
            return Err(Diagnostic::error("too-big", message, Some(at))
                .help("the templates that `extends` and `!reference` copy make it too large"));
        }
        Ok(())
    }
}

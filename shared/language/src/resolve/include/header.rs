//! `spec:include`: files that declare more inputs for the header of another.

use std::rc::Rc;

use super::{Loader, Perhaps, origin::Origin};
use crate::{Node, Value, inputs};

/// The forms that a header may include.
const KINDS: [&str; 3] = ["local", "project", "remote"];

impl<'a> Loader<'a> {
    /// The files whose inputs a header takes in, in their order.
    pub(super) fn specs(
        &mut self,
        header: &Node,
        is_component: bool,
        location: Option<&str>,
        origin: &Rc<Origin<'a>>,
    ) -> Perhaps<Vec<Node>> {
        let spec = header.as_map().and_then(|map| map.get("spec"));
        let include = spec
            .and_then(Node::as_map)
            .and_then(|map| map.entry("include"));
        let Some(include) = include.filter(|it| !it.value.is_null()) else {
            return Ok(Some(Vec::new()));
        };
        let place = include.key.span;
        if is_component {
            let message = format!(
                "Component `{}` cannot use `spec:include`. This keyword is not supported in \
                 components",
                location.unwrap_or_default()
            );
            return Ok(self.tell(inputs::HEADER, message, place));
        }
        let items = match &include.value.value {
            Value::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(&include.value),
        };
        let mut specs = Vec::new();
        let mut complete = true;
        for item in items {
            self.one_more(item)?;
            let odd = item.as_map().and_then(|map| {
                let mut keys = map.entries.iter().map(|entry| &entry.key);
                keys.find(|key| {
                    ["template", "component", "artifact", "rules", "inputs"]
                        .iter()
                        .any(|other| key.as_str() == Some(other))
                })
            });
            if let Some(key) = odd {
                let listed = KINDS.map(|kind| format!("`{kind}`")).join(", ");
                let message = format!(
                    "header:spec:include config contains unknown keys: {}",
                    key.to_text().unwrap_or_default()
                );
                self.tell::<()>(inputs::HEADER, message, key.span);
                if let Some(told) = self.loaded.diagnostics.last_mut() {
                    told.help = Some(format!("headers include files of the forms {listed}"));
                }
                complete = false;
                continue;
            }
            let Some(wanted) = self.entry(item, items.len() == 1, origin) else {
                complete = false;
                continue;
            };
            for wanted in wanted {
                let source = self.open(&wanted, origin)?;
                match source.and_then(|source| source.document) {
                    Some(document) => specs.push(document.body.clone()),
                    None => complete = false,
                }
            }
        }
        Ok(complete.then_some(specs))
    }
}

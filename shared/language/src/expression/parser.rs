//! Tokens to a tree: GitLab's shunting-yard.

use super::Error;
use super::lexer::{Kind, Operand, Operator, Token};

/// At most as deep as there are tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Operand(Operand),
    Not(Box<Node>),
    Binary {
        operator: Operator,
        left: Box<Node>,
        right: Box<Node>,
    },
}

enum Pending {
    Open { offset: usize },
    Operator { operator: Operator, offset: usize },
}

/// As GitLab's it takes some odd orders: empty parentheses beside a value are
/// nothing, and a `!` behind a value applies to it.
pub(super) fn parse(tokens: Vec<Token>, text: &str) -> Result<Node, Error> {
    let mut values: Vec<(Node, usize)> = Vec::new();
    let mut pending: Vec<Pending> = Vec::new();
    for Token { kind, offset } in tokens {
        match kind {
            Kind::Operand(operand) => values.push((Node::Operand(operand), offset)),
            Kind::Open => pending.push(Pending::Open { offset }),
            Kind::Close => loop {
                match pending.pop() {
                    None => return Err(Error::new(offset, "unmatched parenthesis", None)),
                    Some(Pending::Open { .. }) => break,
                    Some(Pending::Operator { operator, offset }) => {
                        apply(operator, offset, &mut values)?;
                    }
                }
            },
            Kind::Operator(operator) => {
                // A prefix operator takes what comes, so it closes nothing before it.
                while operator != Operator::Not
                    && let Some(&Pending::Operator {
                        operator: earlier,
                        offset,
                    }) = pending.last()
                    && earlier.binding() >= operator.binding()
                {
                    pending.pop();
                    apply(earlier, offset, &mut values)?;
                }
                pending.push(Pending::Operator { operator, offset });
            }
        }
    }
    while let Some(last) = pending.pop() {
        match last {
            Pending::Open { offset } => {
                return Err(Error::new(offset, "unmatched parenthesis", None));
            }
            Pending::Operator { operator, offset } => apply(operator, offset, &mut values)?,
        }
    }
    match values.get(1) {
        Some(&(_, offset)) => Err(Error::new(
            offset,
            "two values in a row",
            Some("join conditions with `&&` or `||`"),
        )),
        None => match values.pop() {
            Some((root, _)) => Ok(root),
            None => Err(Error::new(text.len(), "no value", None)),
        },
    }
}

fn apply(operator: Operator, offset: usize, values: &mut Vec<(Node, usize)>) -> Result<(), Error> {
    let missing = Error::new(offset, "operator without operand", None);
    let (right, right_at) = values.pop().ok_or(missing)?;
    if operator == Operator::Not {
        values.push((Node::Not(Box::new(right)), right_at.min(offset)));
        return Ok(());
    }
    let (left, left_at) = values.pop().ok_or(missing)?;
    values.push((
        Node::Binary {
            operator,
            left: Box::new(left),
            right: Box::new(right),
        },
        left_at,
    ));
    Ok(())
}

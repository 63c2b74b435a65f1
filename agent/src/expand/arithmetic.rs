//! Shell arithmetic without assignments: `$((1 + 2 * N))`.

/// Parentheses and signs go no deeper than this.
const DEPTH: usize = 50;

type Lookup<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// The value of an expression over 64-bit numbers that wrap around; `None` if
/// it is none, or divides by zero. Names stand for the numbers their variables
/// hold, or 0. An empty expression is 0.
pub(super) fn evaluate(text: &str, lookup: Lookup<'_>) -> Option<i64> {
    if text.trim().is_empty() {
        return Some(0);
    }
    let mut parser = Parser {
        rest: text,
        lookup,
        depth: 0,
    };
    let value = parser.ternary()?;
    parser.rest.trim().is_empty().then_some(value)
}

struct Parser<'t, 'e> {
    rest: &'t str,
    lookup: Lookup<'e>,
    depth: usize,
}

/// Binary operators by how strongly they bind, the weakest first. A longer
/// operator stands before its own beginning.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Parser<'_, '_> {
    fn ternary(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let condition = self.binary(0)?;
        let value = if self.take("?") {
            let yes = self.ternary()?;
            if !self.take(":") {
                return None;
            }
            let no = self.ternary()?;
            if condition != 0 { yes } else { no }
        } else {
            condition
        };
        self.depth -= 1;
        Some(value)
    }

    fn binary(&mut self, level: usize) -> Option<i64> {
        let Some(operators) = LEVELS.get(level) else {
            return self.power();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let right = self.binary(level + 1)?;
            left = apply(operator, left, right)?;
        }
        Some(left)
    }

    fn operator(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        let rest = self.rest.trim_start();
        let operator = operators
            .iter()
            .copied()
            .find(|operator| rest.starts_with(operator))?;
        // `a | b` is not the beginning of `a || b`, nor `<` of `<<`, nor `*` of `**`.
        let longer = ["||", "&&", "<<", ">>", "**"];
        let part_of_longer = operator.len() == 1
            && longer
                .iter()
                .any(|l| l.starts_with(operator) && rest.starts_with(l));
        if part_of_longer {
            return None;
        }
        self.rest = &rest[operator.len()..];
        Some(operator)
    }

    /// `**` binds to the right and stronger than `*`.
    fn power(&mut self) -> Option<i64> {
        let base = self.unary()?;
        if !self.take("**") {
            return Some(base);
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let exponent = self.power()?;
        self.depth -= 1;
        Some(wrapping_power(base, u64::try_from(exponent).ok()?))
    }

    fn unary(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let value = if self.take("-") {
            self.unary()?.wrapping_neg()
        } else if self.take("+") {
            self.unary()?
        } else if self.take("!") {
            i64::from(self.unary()? == 0)
        } else if self.take("~") {
            !self.unary()?
        } else if self.take("(") {
            let value = self.ternary()?;
            if !self.take(")") {
                return None;
            }
            value
        } else {
            self.atom()?
        };
        self.depth -= 1;
        Some(value)
    }

    fn atom(&mut self) -> Option<i64> {
        let rest = self.rest.trim_start();
        let length = rest
            .bytes()
            .take_while(|&byte| super::name_byte(byte))
            .count();
        let (atom, rest) = rest.split_at(length);
        self.rest = rest;
        if atom.is_empty() {
            return None;
        }
        if atom.starts_with(|c: char| c.is_ascii_digit()) {
            return number(atom);
        }
        let value = (self.lookup)(atom).unwrap_or_default().trim();
        let (negative, digits) = value
            .strip_prefix('-')
            .map_or((false, value), |rest| (true, rest));
        let value = if digits.is_empty() {
            0
        } else {
            number(digits)?
        };
        Some(if negative {
            value.wrapping_neg()
        } else {
            value
        })
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// Decimal, `0x` hexadecimal or octal with a leading zero.
fn number(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => i64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn apply(operator: &str, left: i64, right: i64) -> Option<i64> {
    // As the processor does, shells look at the last six bits of a shift.
    let shift = (right & 63) as u32;
    Some(match operator {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<<" => left.wrapping_shl(shift),
        ">>" => left.wrapping_shr(shift),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" if right != 0 => left.wrapping_div(right),
        "%" if right != 0 => left.wrapping_rem(right),
        _ => return None,
    })
}

fn wrapping_power(mut base: i64, mut exponent: u64) -> i64 {
    let mut value = 1i64;
    while exponent > 0 {
        if exponent & 1 == 1 {
            value = value.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    value
}

//! From text to the tree: tokens first, then descent by precedence, `!` before comparison before
//! `&&` before `||`, as in CEL.

use super::{Comparison, DEPTH_MAX, Expr, Literal, Place, TERMS_MAX, TEXT_OCTETS_MAX};
use crate::ask::Defect;

pub(super) fn parse(text: &str) -> Result<Expr, Defect> {
    if text.len() > TEXT_OCTETS_MAX {
        let sentence =
            format!("a selector has at most {TEXT_OCTETS_MAX} octets, not {}", text.len());
        return Err(Defect::new("selector-too-long", sentence));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, terms: 0 };
    let expr = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.expected("`&&`, `||` or the end")),
    }
}

/// What a backslash and a letter mean in a text.
pub(super) const ESCAPES: [(char, char); 6] =
    [('\\', '\\'), ('"', '"'), ('\'', '\''), ('n', '\n'), ('r', '\r'), ('t', '\t')];

/// Whether this is a name that needs no brackets.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(in_name)
}

const fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn wrong(at: usize, what: &str) -> Defect {
    Defect::new("selector-syntax", format!("at character {at}: {what}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Number(i64),
    Sign(&'static str),
    End,
}

/// The longer ones first, so that `<=` is not read as `<`.
const SIGNS: [&str; 15] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ",", "."];

/// The tokens, each with the number of its first character, counted from 1.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Defect> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        // Counted in characters, since that is how a person finds the place.
        let at = text.chars().count() - rest.chars().count() + 1;
        let Some(first) = rest.chars().next() else {
            tokens.push((at, Token::End));
            return Ok(tokens);
        };
        let (token, behind) = match first {
            '"' | '\'' => quoted(rest, first, at)?,
            '-' | '0'..='9' => number(rest, at)?,
            c if in_name(c) => {
                let (name, behind) =
                    rest.split_at(rest.find(|c| !in_name(c)).unwrap_or(rest.len()));
                (Token::Name(name.to_owned()), behind)
            }
            c => SIGNS
                .iter()
                .find_map(|sign| Some((Token::Sign(sign), rest.strip_prefix(sign)?)))
                .ok_or_else(|| wrong(at, hint(c).as_str()))?,
        };
        tokens.push((at, token));
        rest = behind;
    }
}

fn hint(c: char) -> String {
    match c {
        '=' => "a comparison is written `==`".to_owned(),
        '&' => "`and` is written `&&`".to_owned(),
        '|' => "`or` is written `||`".to_owned(),
        c => format!("`{}` has no meaning here", c.escape_debug()),
    }
}

fn number(rest: &str, at: usize) -> Result<(Token, &str), Defect> {
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    let length = rest.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, behind) = rest.split_at(length);
    let number = number.parse().map_err(|_| wrong(at, "this is not a whole number of 64 bits"))?;
    if behind.starts_with(in_name) {
        return Err(wrong(at, "a name begins with a letter, and a text stands in quotes"));
    }
    Ok((Token::Number(number), behind))
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, &str), Defect> {
    let mut text = String::new();
    let mut chars = rest.chars();
    chars.next();
    while let Some(c) = chars.next() {
        if c == quote {
            return Ok((Token::Text(text), chars.as_str()));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        let letter = chars.next();
        let meant = ESCAPES.iter().find(|(one, _)| Some(*one) == letter);
        let (_, meant) = meant.ok_or_else(|| {
            wrong(at, r#"in this text a backslash stands only before `\`, `"`, `'`, n, r or t"#)
        })?;
        text.push(*meant);
    }
    Err(wrong(at, "this text has no closing quote"))
}

/// One side of a comparison.
enum Side {
    Member(String),
    Literal(Literal),
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    terms: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |(at, _)| *at)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += usize::from(token != Token::End);
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), Defect> {
        if self.eat(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    /// What would be right here instead of what is.
    fn expected(&self, what: &str) -> Defect {
        let found = match self.peek() {
            Token::Name(name) => format!("`{name}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Number(number) => format!("`{number}`"),
            Token::Text(_) => "a text".to_owned(),
            Token::End => "the end".to_owned(),
        };
        wrong(self.position(), &format!("here stands {found} instead of {what}"))
    }

    fn any(&mut self) -> Result<Expr, Defect> {
        let mut parts = vec![self.all()?];
        while self.eat("||") {
            parts.push(self.all()?);
        }
        Ok(Expr::any(parts))
    }

    fn all(&mut self) -> Result<Expr, Defect> {
        let mut parts = vec![self.one()?];
        while self.eat("&&") {
            parts.push(self.one()?);
        }
        Ok(Expr::all(parts))
    }

    fn one(&mut self) -> Result<Expr, Defect> {
        if self.eat("!") {
            let inner = self.deeper(|parser| {
                if matches!(parser.peek(), Token::Sign("!" | "(")) {
                    parser.one()
                } else {
                    parser.condition()
                }
            })?;
            if matches!(inner, Expr::Compare { .. } | Expr::In { .. }) && !self.closed() {
                let what = "`!` binds tighter than a comparison: write `!(..)`";
                return Err(wrong(self.position(), what));
            }
            return Ok(Expr::Not(Box::new(inner)));
        }
        if self.eat("(") {
            let inner = self.deeper(Self::any)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.condition()
    }

    /// Whether what was just read ends with a parenthesis.
    fn closed(&self) -> bool {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(last, Some((_, Token::Sign(")"))))
    }

    fn deeper(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Expr, Defect>,
    ) -> Result<Expr, Defect> {
        if self.depth == DEPTH_MAX {
            let sentence = format!(
                "at character {}: parentheses and `!` nest at most {DEPTH_MAX} deep",
                self.position()
            );
            return Err(Defect::new("selector-too-deep", sentence));
        }
        self.depth += 1;
        let expr = read(self)?;
        self.depth -= 1;
        Ok(expr)
    }

    fn term(&mut self) -> Result<(), Defect> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            let sentence =
                format!("a selector has at most {TERMS_MAX} conditions and list members");
            return Err(Defect::new("selector-too-many", sentence));
        }
        Ok(())
    }

    /// A comparison, a question to a text, a member that is true, or `true` and `false`.
    fn condition(&mut self) -> Result<Expr, Defect> {
        self.term()?;
        let at = self.position();
        let left = self.side()?;
        if let Side::Member(path) = &left
            && self.eat("(")
        {
            return self.question(path, at);
        }
        if let Token::Sign(sign) = self.peek()
            && let Some(by) = Comparison::parse(sign)
        {
            self.next();
            return match (left, self.side()?) {
                (Side::Member(member), Side::Literal(to)) => Ok(Expr::Compare { member, by, to }),
                (Side::Literal(to), Side::Member(member)) => {
                    Ok(Expr::Compare { member, by: by.turned(), to })
                }
                (Side::Member(one), Side::Member(other)) if other == "null" => {
                    let what = format!("nothing is null here: write `has({one})` or `!has({one})`");
                    Err(wrong(at, &what))
                }
                _ => Err(wrong(at, "a comparison is between a member and a literal")),
            };
        }
        if *self.peek() == Token::Name("in".to_owned()) {
            self.next();
            return self.membership(left, at);
        }
        match left {
            Side::Member(member) => Ok(Expr::Flag(member)),
            Side::Literal(Literal::Bool(yes)) => Ok(Expr::Constant(yes)),
            Side::Literal(_) => Err(self.expected("a comparison")),
        }
    }

    /// `member in [..]`, or `literal in member`, which is how CEL asks for membership.
    fn membership(&mut self, left: Side, at: usize) -> Result<Expr, Defect> {
        match left {
            Side::Member(member) => {
                self.expect("[")?;
                Ok(Expr::In { member, list: self.list()? })
            }
            Side::Literal(to) => match self.side()? {
                Side::Member(member) => Ok(Expr::Compare { member, by: Comparison::Equal, to }),
                Side::Literal(_) => Err(wrong(at, "`in` needs a member on one side")),
            },
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, Defect> {
        let mut list = Vec::new();
        while !self.eat("]") {
            if !list.is_empty() {
                self.expect(",")?;
            }
            self.term()?;
            match self.side()? {
                Side::Literal(literal) => list.push(literal),
                Side::Member(name) => {
                    let what = format!("a list has literals, and `{name}` is none: quotes?");
                    return Err(wrong(self.position(), &what));
                }
            }
        }
        Ok(list)
    }

    /// `member.startsWith("x")` or `has(member)`, of which the name and the first parenthesis are
    /// read.
    fn question(&mut self, path: &str, at: usize) -> Result<Expr, Defect> {
        if path == "has" {
            let Side::Member(member) = self.side()? else {
                return Err(wrong(at, "`has(..)` asks for a member"));
            };
            self.expect(")")?;
            return Ok(Expr::There(member));
        }
        let asked = path.rsplit_once('.').and_then(|(m, name)| Some((m, Place::parse(name)?)));
        let Some((member, place)) = asked else {
            let what = "a member can be asked only `startsWith`, `endsWith` and `contains`, and \
                `has(member)` whether it is there";
            return Err(wrong(at, what));
        };
        let Token::Text(part) = self.peek().clone() else {
            return Err(self.expected("a text in quotes"));
        };
        self.next();
        self.expect(")")?;
        Ok(Expr::Has { member: member.to_owned(), place, part })
    }

    fn side(&mut self) -> Result<Side, Defect> {
        let literal = match self.peek().clone() {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) => Literal::Number(number),
            Token::Name(name) if name == "true" || name == "false" => Literal::Bool(name == "true"),
            Token::Name(name) if name != "in" => {
                self.next();
                return self.path(name).map(Side::Member);
            }
            _ => return Err(self.expected("a member or a literal")),
        };
        self.next();
        Ok(Side::Literal(literal))
    }

    /// What follows the front of a member's name: `.key` or `["key"]`.
    fn path(&mut self, mut path: String) -> Result<String, Defect> {
        loop {
            let key = if self.eat(".") {
                let Token::Name(key) = self.peek().clone() else {
                    return Err(self.expected("a name, or a key in brackets and quotes"));
                };
                self.next();
                key
            } else if self.eat("[") {
                let Token::Text(key) = self.peek().clone() else {
                    return Err(self.expected("a key in quotes"));
                };
                self.next();
                self.expect("]")?;
                key
            } else {
                return Ok(path);
            };
            path.push('.');
            path.push_str(&key);
        }
    }
}

//! What happened, in full: a map with text keys in deterministic CBOR (RFC 8949 §4.2.1).
//!
//! It is stored exactly as it was hashed. A reader refuses every other encoding of the same map, so
//! that nobody can show two byte strings for one meaning. The member `verb` is always there. What
//! is in the other members is for the crates above to say.

use identity::Defect;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use std::convert::Infallible;

/// The octets that a payload may have. The largest that Muster writes, a second birth
/// where every identifier is at its bound and another than before, has about 14 KiB; a reader can
/// hold a full bundle of 256 in 4 MiB.
pub const PAYLOAD_OCTETS_MAX: usize = 16 * 1024;
/// Lists and maps within each other, the payload's own map included. Muster writes three; reading
/// recurses, so there is an end.
pub const DEPTH_MAX: usize = 8;
/// The octets that a verb may have: a few words with dots between them.
pub const VERB_OCTETS_MAX: usize = 64;

const VERB: &str = "verb";
const LEFT_OUT: &str = "left_out";

/// What a member may be. Neither negative numbers nor floats: nothing here needs them, and floats
/// have encodings to quarrel over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number from 0 on.
    Uint(u64),
    /// Octets.
    Bytes(Vec<u8>),
    /// Yes or no.
    Bool(bool),
    /// Several, in their order.
    List(Vec<Value>),
    /// Several with names.
    Map(Map),
}

impl Value {
    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, where it is one.
    #[must_use]
    pub const fn as_uint(&self) -> Option<u64> {
        if let Self::Uint(number) = self { Some(*number) } else { None }
    }

    /// The octets, where it is some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(octets) = self { Some(octets) } else { None }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => 1 + map.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// A map with text keys, each once, kept in the order of RFC 8949 §4.2.1: that of their encoded
/// octets, which for text means the shorter first, and then octet by octet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets a member; what stood there before is gone.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        match self.find(key) {
            Ok(place) => {
                if let Some(member) = self.0.get_mut(place) {
                    member.1 = value.into();
                }
            }
            Err(place) => self.0.insert(place, (key.to_owned(), value.into())),
        }
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(self.find(key).ok()?).map(|(_, value)| value)
    }

    /// The members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many members there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| order(other).cmp(&order(key)))
    }
}

/// What keys are sorted by.
const fn order(key: &str) -> (usize, &str) {
    (key.len(), key)
}

impl<K: AsRef<str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let mut map = Self::new();
        members.into_iter().for_each(|(key, value)| map.set(key.as_ref(), value));
        map
    }
}

/// What happened: a verb and named values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    map: Map,
}

impl Payload {
    /// A payload that so far says only what was done, `birth.issued`; a verb beyond
    /// [`VERB_OCTETS_MAX`] is cut there.
    #[must_use]
    pub fn new(verb: &str) -> Self {
        let mut end = verb.len().min(VERB_OCTETS_MAX);
        while !verb.is_char_boundary(end) {
            end -= 1;
        }
        let mut map = Map::new();
        map.set(VERB, verb.get(..end).unwrap_or_default());
        Self { map }
    }

    /// The same with one member more. The names `verb` and `left_out` are taken and change nothing.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if key != VERB && key != LEFT_OUT {
            self.map.set(key, value);
        }
        self
    }

    /// The same with one member more, if there is a value for it.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// What was done.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.get(VERB).and_then(Value::as_text).unwrap_or_default()
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// All members in their order, the verb among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.map.iter()
    }

    /// The octets that are hashed and stored.
    ///
    /// An entry is never lost for being too long: what nests too deep, and then the largest members
    /// until the rest fits [`PAYLOAD_OCTETS_MAX`], are left out, and `left_out` says how many.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let octets = encode(&self.map);
        let fits = self.iter().all(|(_, value)| value.depth() < DEPTH_MAX);
        if fits && octets.len() <= PAYLOAD_OCTETS_MAX { octets } else { encode(&self.shortened()) }
    }

    fn shortened(&self) -> Map {
        // Room for the map's head, the verb and the count of what is left out.
        let mut room = PAYLOAD_OCTETS_MAX - VERB_OCTETS_MAX - 64;
        let mut members: Vec<(usize, &(String, Value))> =
            self.map.0.iter().map(|m| (m.0.len() + 9 + encoded(&m.1).len(), m)).collect();
        members.sort_by_key(|(octets, _)| *octets);
        let mut kept = Map::new();
        for (octets, (key, value)) in members {
            if key == VERB {
                kept.set(key, value.clone());
            } else if value.depth() < DEPTH_MAX && octets <= room {
                room -= octets;
                kept.set(key, value.clone());
            }
        }
        let left_out = self.map.len() - kept.len();
        kept.set(LEFT_OUT, left_out as u64);
        kept
    }

    /// Reads a payload, which must be exactly as [`Payload::encode`] writes one.
    ///
    /// # Errors
    /// A [`Defect`] where it is too long, nests too deep, has no verb or is not deterministic CBOR.
    pub fn decode(octets: &[u8]) -> Result<Self, Defect> {
        if octets.len() > PAYLOAD_OCTETS_MAX {
            let sentence =
                format!("a payload has at most {PAYLOAD_OCTETS_MAX} octets, not {}", octets.len());
            return Err(Defect::new("payload-too-large", sentence));
        }
        let map = read_map(&mut Decoder::new(octets), 0)?;
        if encode(&map) != octets {
            let sentence = "the payload is not deterministic CBOR, or has octets behind its end";
            return Err(Defect::new("payload-not-deterministic", sentence));
        }
        let verb = map.get(VERB).and_then(Value::as_text);
        if verb.is_none_or(|verb| verb.len() > VERB_OCTETS_MAX) {
            let sentence = format!("a payload has a verb of at most {VERB_OCTETS_MAX} octets");
            return Err(Defect::new("payload-verb", sentence));
        }
        Ok(Self { map })
    }
}

type Written<'a> = Result<&'a mut Encoder<Vec<u8>>, minicbor::encode::Error<Infallible>>;

fn encode(map: &Map) -> Vec<u8> {
    let mut cbor = Encoder::new(Vec::with_capacity(256));
    write_map(&mut cbor, map).unwrap_or_else(|_| unreachable!("a vector takes every octet"));
    cbor.into_writer()
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut cbor = Encoder::new(Vec::new());
    write(&mut cbor, value).unwrap_or_else(|_| unreachable!("a vector takes every octet"));
    cbor.into_writer()
}

fn write_map<'a>(cbor: &'a mut Encoder<Vec<u8>>, map: &Map) -> Written<'a> {
    cbor.map(map.len() as u64)?;
    for (key, value) in map.iter() {
        cbor.str(key)?;
        write(cbor, value)?;
    }
    Ok(cbor)
}

fn write<'a>(cbor: &'a mut Encoder<Vec<u8>>, value: &Value) -> Written<'a> {
    match value {
        Value::Text(text) => cbor.str(text),
        Value::Uint(number) => cbor.u64(*number),
        Value::Bytes(octets) => cbor.bytes(octets),
        Value::Bool(yes) => cbor.bool(*yes),
        Value::Map(map) => write_map(cbor, map),
        Value::List(list) => {
            cbor.array(list.len() as u64)?;
            for value in list {
                write(cbor, value)?;
            }
            Ok(cbor)
        }
    }
}

fn broken(e: minicbor::decode::Error) -> Defect {
    Defect::new("payload-cbor", format!("the payload is not CBOR of the right form: {e}"))
}

fn endless() -> Defect {
    Defect::new("payload-not-deterministic", "the payload has a list or map of unsaid length")
}

fn read_map(cbor: &mut Decoder<'_>, depth: usize) -> Result<Map, Defect> {
    let count = cbor.map().map_err(broken)?.ok_or_else(endless)?;
    let mut map = Map::new();
    for _ in 0..count {
        let key = cbor.str().map_err(broken)?;
        if map.0.last().is_some_and(|(last, _)| order(last) >= order(key)) {
            let sentence = format!("the member `{key}` is out of order or there twice");
            return Err(Defect::new("payload-not-deterministic", sentence));
        }
        let value = read(cbor, depth)?;
        map.0.push((key.to_owned(), value));
    }
    Ok(map)
}

fn read(cbor: &mut Decoder<'_>, depth: usize) -> Result<Value, Defect> {
    let kind = cbor.datatype().map_err(broken)?;
    if matches!(kind, Type::Map | Type::Array) && depth + 1 >= DEPTH_MAX {
        let sentence = format!("lists and maps of a payload nest less than {DEPTH_MAX} deep");
        return Err(Defect::new("payload-too-deep", sentence));
    }
    Ok(match kind {
        Type::String => Value::Text(cbor.str().map_err(broken)?.to_owned()),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Uint(cbor.u64().map_err(broken)?),
        Type::Bytes => Value::Bytes(cbor.bytes().map_err(broken)?.to_vec()),
        Type::Bool => Value::Bool(cbor.bool().map_err(broken)?),
        Type::Map => Value::Map(read_map(cbor, depth + 1)?),
        Type::Array => {
            let count = cbor.array().map_err(broken)?.ok_or_else(endless)?;
            Value::List((0..count).map(|_| read(cbor, depth + 1)).collect::<Result<_, _>>()?)
        }
        other => {
            let sentence = format!("a payload has no values of the CBOR type {other}");
            return Err(Defect::new("payload-type", sentence));
        }
    })
}

/// What can be handed to [`Payload::with`].
macro_rules! from {
    ($($of:ty => |$it:ident| $value:expr;)+) => {
        $(impl From<$of> for Value {
            fn from($it: $of) -> Self {
                $value
            }
        })+
    };
}

from! {
    &str => |text| Self::Text(text.to_owned());
    String => |text| Self::Text(text);
    &String => |text| Self::Text(text.clone());
    u64 => |number| Self::Uint(number);
    u32 => |number| Self::Uint(number.into());
    u16 => |number| Self::Uint(number.into());
    bool => |yes| Self::Bool(yes);
    Vec<u8> => |octets| Self::Bytes(octets);
    &[u8] => |octets| Self::Bytes(octets.to_vec());
    Vec<Value> => |list| Self::List(list);
    Map => |map| Self::Map(map);
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(octets: &[u8; N]) -> Self {
        Self::Bytes(octets.to_vec())
    }
}

impl<V: Into<Self>> FromIterator<V> for Value {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests;

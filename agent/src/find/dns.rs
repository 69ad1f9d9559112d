//! DNS messages (RFC 1035) as far as DNS-SD needs them: a question goes out, SRV, PTR and address
//! records come back. Everything that is read comes from strangers.

use crate::line::Place;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names of a message point to earlier ones; more jumps than this are a loop.
const JUMPS_MAX: usize = 16;
/// RFC 1035 §2.3.4.
const NAME_OCTETS_MAX: usize = 255;
/// Records of a message that are looked at.
const RECORDS_MAX: usize = 64;

/// The kinds of record that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name behind a name.
    Ptr,
    /// Where a service is (RFC 2782).
    Srv,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::Ptr => 12,
            Self::Srv => 33,
        }
    }
}

/// A place that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub place: Place,
    /// Lower ones come first.
    pub priority: u16,
    /// Of one priority, higher ones come first.
    pub weight: u16,
}

/// What a message says of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Instances whose place has to be asked for.
    pub instances: Vec<String>,
    /// Places.
    pub found: Vec<Found>,
}

/// A question. Its identifier is a hash of the name: whoever answers falsely gains nothing, since
/// what is found is not believed.
#[must_use]
pub fn question(name: &str, kind: Kind) -> Vec<u8> {
    let id = name.bytes().fold(kind.number(), |id, b| id.rotate_left(3) ^ u16::from(b));
    let mut out = id.to_be_bytes().to_vec();
    // Recursion desired; one question, nothing else.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in labels(name) {
        let label = label.as_bytes().get(..label.len().min(63)).unwrap_or_default();
        out.push(u8::try_from(label.len()).unwrap_or_default());
        out.extend(label);
    }
    out.push(0);
    out.extend(kind.number().to_be_bytes());
    // Class IN, and the wish for an answer to us alone (RFC 6762 §5.4), which name servers ignore.
    out.extend(if name.ends_with(".local") { [0x80, 1] } else { [0, 1] });
    out
}

/// The labels of a name. A dot or a backslash of a label stands behind a backslash (RFC 1035 §5.1):
/// instances are named by people, `Muster 2.1`.
fn labels(name: &str) -> Vec<String> {
    let (mut labels, mut label) = (Vec::new(), String::new());
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '.' => labels.push(std::mem::take(&mut label)),
            '\\' => label.extend(letters.next()),
            letter => label.push(letter),
        }
    }
    labels.push(label);
    labels.retain(|label| !label.is_empty());
    labels
}

/// Reads what a message says of `service`; `None` where it is no answer.
#[must_use]
pub fn read(message: &[u8], service: &str) -> Option<Said> {
    let mut reader = Reader { message, at: 0 };
    let [_, flags, questions, answers, authorities, more] = reader.header()?;
    if flags & 0x8000 == 0 || flags & 0x000f != 0 {
        return None;
    }
    for _ in 0..questions {
        reader.name()?;
        reader.skip(4)?;
    }
    let (mut said, mut addresses) = (Said::default(), Vec::new());
    let count = [answers, authorities, more].iter().map(|n| usize::from(*n)).sum::<usize>();
    for _ in 0..count.min(RECORDS_MAX) {
        reader.record(service, &mut said, &mut addresses)?;
    }
    for found in &mut said.found {
        let own = addresses.iter().filter(|(name, _)| *name == found.place.host);
        found.place.addresses = own.map(|(_, ip)| *ip).collect();
    }
    Some(said)
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at.checked_add(octets)?)?;
        self.at += octets;
        Some(taken)
    }

    fn skip(&mut self, octets: usize) -> Option<()> {
        self.take(octets).map(|_| ())
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn header(&mut self) -> Option<[u16; 6]> {
        let mut words = [0; 6];
        for word in &mut words {
            *word = self.number()?;
        }
        Some(words)
    }

    /// A name in lower case, its pointers followed.
    fn name(&mut self) -> Option<String> {
        let (name, end) = name_at(self.message, self.at)?;
        self.at = end;
        Some(name)
    }

    fn record(
        &mut self,
        service: &str,
        said: &mut Said,
        addresses: &mut Vec<(String, IpAddr)>,
    ) -> Option<()> {
        let name = self.name()?;
        let kind = self.number()?;
        self.skip(6)?;
        let length = usize::from(self.number()?);
        let end = self.at.checked_add(length)?;
        let service = service.to_ascii_lowercase();
        let is_of_service = name == service || name.ends_with(&format!(".{service}"));
        match kind {
            12 if is_of_service => said.instances.push(self.name()?),
            33 if is_of_service => said.found.extend(self.srv()?),
            1 if length == 4 => {
                let octets: [u8; 4] = self.take(4)?.try_into().ok()?;
                addresses.push((name, Ipv4Addr::from(octets).into()));
            }
            28 if length == 16 => {
                let octets: [u8; 16] = self.take(16)?.try_into().ok()?;
                let ip = Ipv6Addr::from(octets);
                // A link-local address is of no use without its link.
                if !ip.is_unicast_link_local() {
                    addresses.push((name, ip.into()));
                }
            }
            _ => {}
        }
        self.at = end;
        (end <= self.message.len()).then_some(())
    }

    /// A place; none where the record says that there is no such service (RFC 2782: the target `.`)
    /// or its name is none.
    fn srv(&mut self) -> Option<Option<Found>> {
        let (priority, weight, port) = (self.number()?, self.number()?, self.number()?);
        let target = self.name()?;
        let place = Place::parse(&format!("https://{target}:{port}")).ok();
        Some(place.map(|place| Found { place, priority, weight }))
    }
}

/// The name at `at`, and where the message goes on behind it.
fn name_at(message: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut end, mut jumps) = (String::new(), at, None, 0);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                let label = String::from_utf8_lossy(label).to_ascii_lowercase();
                name.push_str(&label.replace('\\', "\\\\").replace('.', "\\."));
                at += 1 + usize::from(length);
            }
            192..=255 => {
                let low = *message.get(at + 1)?;
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                jumps += 1;
            }
            _ => return None,
        }
        if jumps > JUMPS_MAX || name.len() > NAME_OCTETS_MAX {
            return None;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let labels = text.split('.');
        let mut out: Vec<u8> =
            labels.flat_map(|l| [&[l.len() as u8][..], l.as_bytes()].concat()).collect();
        out.push(0);
        out
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
    }

    fn srv(priority: u16, port: u16, target: &str) -> Vec<u8> {
        [&priority.to_be_bytes()[..], &[0, 0], &port.to_be_bytes(), &name(target)].concat()
    }

    /// What a name server of `plant.example` answers to a question.
    pub(crate) fn answer(question: &[u8]) -> Option<Vec<u8>> {
        let (asked, end) = name_at(question, 12)?;
        let instance = name("site._muster-est._tcp.plant.example");
        let (flags, records) = match (asked.as_str(), question.get(end + 1)?) {
            ("_muster-est._tcp.plant.example", 12) => {
                (0x80, vec![record(&[192, 12], 12, &instance)])
            }
            ("site._muster-est._tcp.plant.example", 33) => {
                let main = record(&[192, 12], 33, &srv(1, 8443, "muster.plant.example"));
                let spare = record(&[192, 12], 33, &srv(5, 9, "spare.plant.example"));
                let address = record(&name("muster.plant.example"), 1, &[127, 0, 0, 1]);
                (0x80, vec![spare, main, address])
            }
            _ => return None,
        };
        let count = records.len() as u8;
        let mut out = question.to_vec();
        out[2] |= flags;
        out[7] = count;
        out.extend(records.concat());
        Some(out)
    }

    #[test]
    fn a_service_is_found_with_its_addresses() {
        let asked = question("site._muster-est._tcp.plant.example", Kind::Srv);
        let said = read(&answer(&asked).unwrap(), "_muster-est._tcp.plant.example").unwrap();
        assert_eq!(said.found.len(), 2);
        assert_eq!(said.found[1].place.addresses, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(said.found[1].place.host, "muster.plant.example");
    }

    #[test]
    fn an_instance_may_be_named_with_dots() {
        let asked = question(r"muster 2\.1\\x._muster-est._tcp.local", Kind::Srv);
        assert_eq!(asked.get(12..25), Some(&b"\x0cmuster 2.1\\x"[..]));
        let (read, _) = name_at(&asked, 12).unwrap();
        assert_eq!(read, r"muster 2\.1\\x._muster-est._tcp.local");
    }

    #[test]
    fn what_answers_for_another_service_is_not_heard() {
        let asked = question("site._muster-est._tcp.plant.example", Kind::Srv);
        let said = read(&answer(&asked).unwrap(), "_other._tcp.plant.example").unwrap();
        assert_eq!(said, Said::default());
    }

    #[test]
    fn no_message_makes_the_reader_fall_or_run_in_circles() {
        let whole = answer(&question("site._muster-est._tcp.plant.example", Kind::Srv)).unwrap();
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut], "_muster-est._tcp.plant.example"), None);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[at] ^= 1 << bit;
                drop(read(&bent, "_muster-est._tcp.plant.example"));
            }
        }
        let circle = [&[0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0][..], &[192, 12], &[0; 10]].concat();
        assert_eq!(read(&circle, "_muster-est._tcp.plant.example"), None);
    }
}

//! The answer of `serverkeygen` (RFC 7030 §4.4.2): a multipart/mixed (RFC 2046 §5.1) of a private
//! key and its certificate, both in base64.

use super::{CERTS_ONLY, certs_only, is_media, parameter, read_body, write_body};
use identity::Certificate;
use identity::ask::Defect;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// No base64 can contain it, since it has dashes.
const BOUNDARY: &str = "muster-key-and-leaf";
/// RFC 5958.
const PKCS8: &str = "application/pkcs8";
/// The largest answer: a certs-only part, and an RSA key of 4096 bits (2.4 KiB) with room for other
/// kinds.
pub const MULTIPART_OCTETS_MAX: usize = certs_only::CERTS_ONLY_OCTETS_MAX / 8 * 11 + 16 * 1024;
/// Two parts are wanted; a few more, which would be skipped, are somebody else's idea.
const PARTS_MAX: usize = 8;

/// A private key in PKCS#8 that somebody else made. Wiped when dropped, silent in logs.
pub struct PrivateKey(Vec<u8>);

impl PrivateKey {
    /// The PKCS#8 in DER.
    #[must_use]
    pub fn dangerous_reveal(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// The `Content-Type` of what `write` makes.
#[must_use]
pub fn content_type() -> String {
    format!("multipart/mixed; boundary={BOUNDARY}")
}

/// A key and its certs-only PKCS#7, both in DER, as the body of a multipart/mixed.
#[must_use]
pub fn write(pkcs8: &[u8], pkcs7: &[u8]) -> Vec<u8> {
    let key = Zeroizing::new(write_body(pkcs8));
    // Large enough from the start: a vector that grows leaves copies of the key behind.
    let mut out = Vec::with_capacity(key.len() + pkcs7.len() * 4 / 3 + 512);
    part(&mut out, PKCS8, &key);
    part(&mut out, CERTS_ONLY, &write_body(pkcs7));
    out.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    out
}

fn part(out: &mut Vec<u8>, media: &str, body: &[u8]) {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Reads a key and its certificates, in either order, with CR LF or LF.
///
/// # Errors
/// A [`Defect`] where it is not such a multipart, a part is missing or does not parse, or the key
/// is encrypted.
pub fn read(content_type: &str, body: &[u8]) -> Result<(PrivateKey, Vec<Certificate>), Defect> {
    let broken = |sentence: &'static str| Defect::new("multipart", sentence);
    if body.len() > MULTIPART_OCTETS_MAX {
        return Err(broken("the multipart answer is too large"));
    }
    let boundary = parameter(content_type, "boundary")
        .filter(|b| is_media(content_type, "multipart/mixed") && (1..=70).contains(&b.len()))
        .ok_or_else(|| broken("the answer is not multipart/mixed with a boundary"))?;
    let text = std::str::from_utf8(body).map_err(|_| broken("the multipart answer is not text"))?;
    let (mut key, mut certificates) = (None, None);
    for (media, body) in parts(text, boundary)? {
        if is_media(media, PKCS8) {
            key = Some(PrivateKey(read_body(body.as_bytes(), MULTIPART_OCTETS_MAX)?));
        } else if parameter(media, "smime-type") == Some("server-generated-key") {
            return Err(broken("the key is encrypted once more, which nobody here asked for"));
        } else if is_media(media, CERTS_ONLY) {
            let pkcs7 = read_body(body.as_bytes(), MULTIPART_OCTETS_MAX)?;
            certificates = Some(certs_only::read(&pkcs7)?);
        }
    }
    key.zip(certificates).ok_or_else(|| broken("the answer lacks the key or its certificate"))
}

/// The parts between the boundaries: content type and body. What stands before and after is
/// skipped.
fn parts<'a>(text: &'a str, boundary: &str) -> Result<Vec<(&'a str, &'a str)>, Defect> {
    let delimiter = format!("--{boundary}");
    let mut pieces = text.split(delimiter.as_str()).skip(1);
    let mut found = Vec::new();
    loop {
        let piece = pieces.next().unwrap_or_default();
        if piece.starts_with("--") {
            return Ok(found);
        }
        if piece.is_empty() || found.len() == PARTS_MAX {
            return Err(Defect::new("multipart", "the multipart answer does not end"));
        }
        found.push(one_part(piece));
    }
}

fn one_part(piece: &str) -> (&str, &str) {
    let piece = piece.trim_start_matches([' ', '\t']);
    let (head, body) =
        piece.split_once("\r\n\r\n").or_else(|| piece.split_once("\n\n")).unwrap_or((piece, ""));
    let media = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim())
    });
    (media.unwrap_or_default(), body)
}

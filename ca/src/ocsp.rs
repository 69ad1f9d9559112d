//! OCSP (RFC 6960). Certificates carry the responder's address from the first day; until there is
//! one, it says so.

/// An OCSPResponse with the status `tryLater` (RFC 6960 §4.2.1), which is never signed: the client
/// asks the CRL.
pub const TRY_LATER: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x03];

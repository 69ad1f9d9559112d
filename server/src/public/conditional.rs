//! Answers that save the way: 304 where the client has it already, 206 where it has the beginning
//! (RFC 9110 §13, §14).

use super::{Answer, PublicFile};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use hyper::{Response, StatusCode};

pub(super) fn answer(file: &PublicFile, asked: &HeaderMap) -> Answer {
    if has_it(&file.etag, file.date(), asked) {
        return shaped(file, StatusCode::NOT_MODIFIED, Bytes::new());
    }
    match range(file, asked) {
        Range::All => {
            let mut answer = shaped(file, StatusCode::OK, file.octets.clone());
            answer.headers_mut().insert(CONTENT_TYPE, file.kind.content_type());
            answer
        }
        Range::Part(first, last) => part(file, first, last),
        Range::Outside => {
            let mut answer = shaped(file, StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new());
            put(&mut answer, CONTENT_RANGE, &format!("bytes */{}", file.octets.len()));
            answer
        }
    }
}

/// A HEAD has the length of what a GET would send, and sends nothing.
pub(super) fn keep_length(answer: &mut Answer) {
    if answer.status() != StatusCode::NOT_MODIFIED {
        let length = answer.body().size_hint().lower();
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.body_mut() = Full::default();
}

fn shaped(file: &PublicFile, status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CACHE_CONTROL, file.kind.keep());
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    put(&mut answer, ETAG, &file.etag);
    put(&mut answer, LAST_MODIFIED, &file.modified);
    answer
}

fn part(file: &PublicFile, first: usize, last: usize) -> Answer {
    let body = file.octets.slice(first..=last);
    let mut answer = shaped(file, StatusCode::PARTIAL_CONTENT, body);
    answer.headers_mut().insert(CONTENT_TYPE, file.kind.content_type());
    put(&mut answer, CONTENT_RANGE, &format!("bytes {first}-{last}/{}", file.octets.len()));
    answer
}

fn put(answer: &mut Answer, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        answer.headers_mut().insert(name, value);
    }
}

/// A tag goes before a date (RFC 9110 §13.2.2). A date is compared as text: who sends one sends
/// ours back. One that does not tell two versions apart is `None`, and says nothing (§8.8.2.2).
pub(super) fn has_it(etag: &str, date: Option<&str>, asked: &HeaderMap) -> bool {
    if asked.contains_key(IF_NONE_MATCH) {
        let tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
        return tags
            .flat_map(|line| line.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == etag);
    }
    text(asked, IF_MODIFIED_SINCE).is_some_and(|said| Some(said) == date)
}

enum Range {
    All,
    Part(usize, usize),
    Outside,
}

/// One range of octets. Several at once, other units and what is not well formed get the whole (RFC
/// 9110 §14.2).
fn range(file: &PublicFile, asked: &HeaderMap) -> Range {
    let same = text(asked, IF_RANGE).is_none_or(|of| of == file.etag || Some(of) == file.date());
    let spec = text(asked, RANGE).filter(|_| same).and_then(|r| r.strip_prefix("bytes="));
    let Some((from, to)) = spec.and_then(|s| s.split_once('-')) else { return Range::All };
    let length = file.octets.len();
    let (first, last) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(length.saturating_sub(1))),
        (Ok(first), Err(_)) if to.is_empty() => (first, length.saturating_sub(1)),
        (Err(_), Ok(suffix)) if from.is_empty() && suffix > 0 => {
            (length.saturating_sub(suffix), length.saturating_sub(1))
        }
        (Err(_), Ok(0)) if from.is_empty() => return Range::Outside,
        _ => return Range::All,
    };
    if first < length { Range::Part(first, last) } else { Range::Outside }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::Kind;
    use http_body_util::BodyExt;
    use identity::UnixTime;

    fn crl() -> PublicFile {
        PublicFile::new(Kind::Crl, b"0123456789".to_vec(), UnixTime::from_secs(1_700_000_000))
    }

    fn ask(headers: &[(HeaderName, &str)]) -> Answer {
        let asked =
            headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect();
        answer(&crl(), &asked)
    }

    async fn body(answer: Answer) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn who_has_it_is_not_sent_it_again() {
        let first = ask(&[]);
        assert_eq!(first.headers()[CONTENT_TYPE], "application/pkix-crl");
        let etag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let modified = first.headers()[LAST_MODIFIED].to_str().unwrap().to_owned();
        assert_eq!(body(first).await, "0123456789");

        for known in [
            (IF_NONE_MATCH, etag.clone()),
            (IF_NONE_MATCH, format!("\"x\", W/{etag}")),
            (IF_NONE_MATCH, "*".into()),
            (IF_MODIFIED_SINCE, modified.clone()),
        ] {
            let again = ask(&[(known.0.clone(), &known.1)]);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known:?}");
            assert_eq!(again.headers()[ETAG], etag);
            assert!(body(again).await.is_empty());
        }
        let other = ask(&[(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, &modified)]);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn of_two_lists_of_one_second_no_date_says_which_somebody_has() {
        let made = UnixTime::from_secs(1_700_000_000);
        let new = |octets: &[u8], at| PublicFile::new(Kind::Crl, octets.to_vec(), at);
        let newer = new(b"abcdefghij", made).instead_of(&crl());
        let date = newer.modified.clone();
        let ask = |file: &PublicFile, name, value: &str| {
            answer(file, &HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]))
        };

        assert_eq!(ask(&newer, IF_MODIFIED_SINCE, &date).status(), StatusCode::OK);
        let mut part = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-3"))]);
        part.insert(IF_RANGE, HeaderValue::from_str(&date).unwrap());
        assert_eq!(answer(&newer, &part).status(), StatusCode::OK);
        assert_eq!(ask(&newer, IF_NONE_MATCH, &newer.etag).status(), StatusCode::NOT_MODIFIED);

        let third = new(b"abcdefghij", made).instead_of(&newer);
        assert_eq!(ask(&third, IF_MODIFIED_SINCE, &date).status(), StatusCode::OK);
        let later = new(b"klm", made.plus_secs(1)).instead_of(&third);
        let date = later.modified.clone();
        assert_eq!(ask(&later, IF_MODIFIED_SINCE, &date).status(), StatusCode::NOT_MODIFIED);
        let again = new(b"klm", made.plus_secs(1)).instead_of(&later);
        assert_eq!(ask(&again, IF_MODIFIED_SINCE, &date).status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn a_part_is_sent_where_a_part_is_asked_for() {
        for (asked, says, octets) in [
            ("bytes=0-3", "bytes 0-3/10", "0123"),
            ("bytes=7-", "bytes 7-9/10", "789"),
            ("bytes=-2", "bytes 8-9/10", "89"),
            ("bytes=-99", "bytes 0-9/10", "0123456789"),
            ("bytes=5-99", "bytes 5-9/10", "56789"),
        ] {
            let part = ask(&[(RANGE, asked)]);
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{asked}");
            assert_eq!(part.headers()[CONTENT_RANGE], says);
            assert_eq!(body(part).await, octets);
        }
        for outside in ["bytes=10-", "bytes=-0"] {
            let refused = ask(&[(RANGE, outside)]);
            assert_eq!(refused.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{outside}");
        }
        for whole in ["bytes=0-1,3-4", "lines=1-2", "bytes=4-2", "bytes=-", "bytes=x-y"] {
            assert_eq!(ask(&[(RANGE, whole)]).status(), StatusCode::OK, "{whole}");
        }
        let stale = ask(&[(RANGE, "bytes=0-3"), (IF_RANGE, "\"old\"")]);
        assert_eq!(stale.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_head_tells_the_length_and_sends_nothing() {
        let mut head = ask(&[]);
        keep_length(&mut head);
        assert_eq!(head.headers()[CONTENT_LENGTH], "10");
        assert!(body(head).await.is_empty());
    }
}

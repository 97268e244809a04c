//! Where browsers say that a request comes from.

use actix_web::HttpRequest;
use actix_web::http::header::ORIGIN;

/// Whether a browser says that a page of another site has sent a request. Programs that are no browsers say nothing.
pub(super) fn is_foreign(request: &HttpRequest) -> bool {
    if let Some(site) = request.headers().get("Sec-Fetch-Site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    // Browsers say the above only under TLS, and old ones never.
    let Some(origin) = request.headers().get(ORIGIN) else { return false };
    let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    host.is_none_or(|host| !host.eq_ignore_ascii_case(request.connection_info().host()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_request_is_foreign_if_a_browser_says_so() {
        let cases: [(&[(&str, &str)], bool); 10] = [
            (&[], false),
            (&[("Sec-Fetch-Site", "same-origin")], false),
            (&[("Sec-Fetch-Site", "none")], false),
            (&[("Sec-Fetch-Site", "same-site")], true),
            (&[("Sec-Fetch-Site", "cross-site")], true),
            (&[("Origin", "https://muster.example:8080")], false),
            (&[("Origin", "https://Muster.example:8080")], false),
            (&[("Origin", "https://muster.example")], true),
            (&[("Origin", "https://evil.example")], true),
            (&[("Origin", "null")], true),
        ];
        for (headers, expected) in cases {
            let request = TestRequest::default().insert_header(("Host", "muster.example:8080"));
            let request = headers.iter().fold(request, |request, header| request.insert_header(*header));
            assert_eq!(is_foreign(&request.to_http_request()), expected, "{headers:?}");
        }
    }
}

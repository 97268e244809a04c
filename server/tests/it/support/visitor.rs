use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};

use super::{Address, Answer, Rest};

/// Somebody who looks at pages, without a browser.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: Client,
    root: String,
    /// `name=value`, as it is sent.
    pub cookie: Option<String>,
}

impl Visitor {
    /// Somebody who is not logged in.
    pub fn stranger(address: &Address) -> Self {
        let client = Client::builder().tls_danger_accept_invalid_certs(true).redirect(Policy::none()).build().unwrap();
        Self { client, root: address.url.clone(), cookie: None }
    }

    /// A user of REST, who has logged in with a browser, too.
    pub fn of(address: &Address, rest: &Rest) -> Self {
        Self::with_token(address, rest.token())
    }

    /// A user whose session has this token.
    pub fn with_token(address: &Address, token: &str) -> Self {
        Self { cookie: Some(format!("{}={token}", cookie_name(address, "muster_session"))), ..Self::stranger(address) }
    }

    /// A request that a test goes on with itself.
    pub fn getting(&self, path: &str) -> RequestBuilder {
        self.with_cookie(self.client.get(self.root.clone() + path))
    }

    /// A form that a test goes on with itself.
    pub fn posting(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = self.client.post(self.root.clone() + path).body(body.join("&"));
        self.with_cookie(request.header("Content-Type", "application/x-www-form-urlencoded"))
    }

    fn with_cookie(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    pub async fn finish(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::finish(self.getting(path)).await
    }

    /// Sends a form as the page at `page` has it, with its token.
    pub async fn submit(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = token(&self.get(page).await.text);
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        Self::finish(self.posting(path, &fields)).await
    }

    /// Takes over a cookie that an answer sets.
    pub fn take_cookie(&mut self, answer: &Answer, name: &str) {
        let name = full_name(&self.root, name);
        let set = answer.headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let mut set = set.filter(|cookie| cookie.starts_with(&format!("{name}=")));
        let cookie = set.next().unwrap_or_else(|| panic!("{name} is not set: {:?}", answer.headers));
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    }
}

/// The name of a cookie as the server at this address calls it.
pub fn cookie_name(address: &Address, name: &str) -> String {
    full_name(&address.url, name)
}

/// Below a prefix, a cookie is not one of the whole host.
fn full_name(root: &str, name: &str) -> String {
    let is_whole_host = root.starts_with("https://") && root.matches('/').count() == 2;
    if is_whole_host { format!("__Host-{name}") } else { name.to_owned() }
}

/// The token of the first form of a page.
pub fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

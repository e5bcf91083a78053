//! Receivers in Rust: the published library for Standard Webhooks.
//!
//! Reads cases from stdin, one JSON object a line: `headers`, `body` (base64), `secret`. Prints a
//! line for each: `accepted`, or `refused: ` and the library's reason.
use std::io::{self, BufRead};

use base64::{engine::general_purpose::STANDARD, Engine};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use standardwebhooks::{Webhook, WebhookError};

fn verify(case: &Value) -> Result<(), WebhookError> {
    let mut headers = HeaderMap::new();
    for (name, value) in case["headers"].as_object().expect("headers") {
        let name: HeaderName = name.parse().expect("a header's name");
        let value: HeaderValue = value.as_str().expect("text").parse().expect("a value");
        headers.insert(name, value);
    }
    let body = STANDARD
        .decode(case["body"].as_str().expect("body"))
        .expect("base64");
    Webhook::new(case["secret"].as_str().expect("secret"))?.verify(&body, &headers)
}

fn main() {
    for line in io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        match verify(&case) {
            Ok(()) => println!("accepted"),
            Err(error) => println!("refused: {error}"),
        }
    }
}

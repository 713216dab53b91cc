//! A query's parameters, as whoever serves the request will read them: by their decoded names.

use crate::wire::route::Api;

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter<'q> {
    /// Its name, decoded.
    pub name: String,
    /// Its value, decoded; empty where there is none.
    pub value: String,
    /// Both as they were sent.
    pub sent: &'q str,
}

/// The parameters of a query without its question mark, in order.
pub fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').filter(|sent| !sent.is_empty()).map(|sent| {
        let (name, value) = sent.split_once('=').unwrap_or((sent, ""));
        Parameter { name: decoded(name), value: decoded(value), sent }
    })
}

/// Percent-encoding undone, and a plus read as the space it stands for. What is no code stays.
pub fn decoded(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        if let Some(code) = code {
            bytes.push(code);
            bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
        } else {
            bytes.push(b'%');
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first parameter under which an answer would come without what it is metered by: sent
/// elsewhere, cut to chosen fields, or in a format that is not read here.
pub fn unmetered(query: &str, api: Api) -> Option<String> {
    let hides = |parameter: &Parameter<'_>| {
        let name = parameter.name.to_ascii_lowercase();
        match (api, name.trim_start_matches('$')) {
            (_, "callback") => true,
            (Api::Google, "alt") => {
                !["json", "sse"].contains(&parameter.value.split(';').next().unwrap_or_default())
            }
            (Api::Google, "prettyprint") => false,
            // `$` marks Google's own parameters, which reach as far as headers and method.
            (Api::Google, rest) => rest == "fields" || name.starts_with('$'),
            _ => false,
        }
    };
    parameters(query).find(hides).map(|parameter| parameter.name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_parameter_is_known_by_its_name_however_it_is_spelt() {
        let read: Vec<_> = parameters("a=1&&mod%65l=x%2Fy+z&flag&bad=%zz%4").collect();
        let pairs: Vec<_> = read.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("model", "x/y z"), ("flag", ""), ("bad", "%zz%4")]);
        assert_eq!(read.get(1).unwrap().sent, "mod%65l=x%2Fy+z");
    }

    #[test]
    fn what_hides_usage_is_found_and_what_does_not_is_let_through() {
        for query in ["fields=a", "%66ields=a", "$fields=a", "alt=proto", "alt=", "$httpHeaders=x"]
        {
            assert!(unmetered(query, Api::Google).is_some(), "{query}");
        }
        for query in ["alt=sse", "$alt=json;enum-encoding=int", "prettyPrint=false", "key=x", ""] {
            assert_eq!(unmetered(query, Api::Google), None, "{query}");
        }
        assert_eq!(unmetered("x=1&callback=https://x", Api::Plain), Some("callback".into()));
        assert_eq!(unmetered("fields=a&alt=proto", Api::Plain), None);
    }
}

//! Where an upstream serves what a client asked for, as an operator writes it down.

use super::route::Route;

/// A path with places to fill.
///
/// ```
/// use farebox::wire::place::Template;
/// use farebox::wire::route::Route;
/// let template = Template::read("/v1/projects/p/models/{model}:{verb}").unwrap();
/// let route = Route::of("/v1beta/models/g:generateContent").unwrap();
/// assert_eq!(template.filled(&route, "g"), "/v1/projects/p/models/g:generateContent");
/// assert!(Template::read("/v1/chat/completions").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Checks what an operator wrote. A path that does not say what was asked for would send every
    /// request to one endpoint, or to one model, whatever was priced.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') && !text.starts_with("{path}") {
            return Err("path must begin with a slash or with {path}");
        }
        let whole = text.contains("{path}") || text.contains("{tail}");
        let parts = text.contains("{model}") && text.contains("{verb}");
        if !whole && !parts {
            return Err("path must hold {path}, or {tail}, or {model} and {verb}: \
                        without, every request goes to one place, whatever was priced");
        }
        let rest = ["{path}", "{tail}", "{model}", "{verb}"]
            .iter()
            .fold(text.to_owned(), |rest, place| rest.replace(place, ""));
        if rest.contains(['{', '}', '?', '#']) {
            return Err("path may hold {path}, {tail}, {model} and {verb}, and no query");
        }
        Ok(Self(text.to_owned()))
    }

    /// What stands before anything that the client chooses.
    fn fixed(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }

    /// The path for a request; `model` is encoded, so that it cannot leave its place.
    pub fn filled(&self, route: &Route<'_>, model: &str) -> String {
        let verb = route.path.rsplit_once(':').map_or("", |(_, verb)| verb);
        let tail = route.path.strip_prefix("/v1/").unwrap_or(route.path);
        self.0
            .replace("{path}", route.path)
            .replace("{tail}", tail)
            .replace("{model}", model)
            .replace("{verb}", verb)
    }
}

/// Google serves whichever project a path names, on the service account's rights: the operator's
/// entry has to name it, before anything that the client chooses.
pub fn check_project(base_url: &str, path: Option<&Template>) -> Result<(), &'static str> {
    let names_project = |text: &str| {
        text.split_once("/projects/").is_some_and(|(_, rest)| rest.split('/').next() != Some(""))
            && text.rsplit_once("/projects/").is_some_and(|(_, rest)| rest.contains('/'))
    };
    let fixed = format!("{base_url}{}", path.map_or("/", Template::fixed));
    // Gemini's own API has no projects in its paths.
    if names_project(&fixed) || base_url == "https://generativelanguage.googleapis.com" {
        return Ok(());
    }
    Err("path must name your project, as in \
         /v1/projects/PROJECT/locations/REGION/publishers/google/models/{model}:{verb}: \
         without, clients choose which project serves them")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_that_does_not_say_what_was_asked_for_is_refused() {
        for text in [
            "/v1/chat/completions",
            "/models/{model}",
            "/models/m:{verb}",
            "v1/{tail}",
            "/{tail}?x=1",
            "/{tail}/{other}",
        ] {
            assert!(Template::read(text).is_err(), "{text}");
        }
        for text in ["/api/{tail}", "{path}", "/x{path}", "/models/{model}:{verb}"] {
            assert!(Template::read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_service_account_serves_the_projects_that_its_operator_named() {
        let host = "https://us-central1-aiplatform.googleapis.com";
        let check =
            |base: &str, path: &str| check_project(base, Some(&Template::read(path).unwrap()));
        assert!(check_project(host, None).is_err());
        for path in [
            "{path}",
            "/{tail}",
            "/v1/projects/{model}:{verb}",
            "/v1/projects//{tail}",
            "/v1/projects/acme{path}",
        ] {
            assert!(check(host, path).is_err(), "{path}");
        }
        assert!(
            check(host, "/v1/projects/acme/locations/l/publishers/google/models/{model}:{verb}")
                .is_ok()
        );
        assert!(
            check(&format!("{host}/v1/projects/acme/locations/l/endpoints/openapi"), "/{tail}")
                .is_ok()
        );
        assert!(check_project("https://generativelanguage.googleapis.com", None).is_ok());
    }
}

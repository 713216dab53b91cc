//! An alert in words: the subject, the text and the HTML of a mail. Numbers are the decimal strings
//! of the alert, never rounded or converted.

use serde::Serialize;

use crate::ledger::{Alert, LimitView, PeakDay, Share, Used, WeekSummary, What};

/// A mail, ready for the mail port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// From whom.
    pub from: String,
    /// To whom.
    pub to: String,
    /// In one line.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML: the same words, nothing fetched from anywhere.
    pub html: String,
}

/// Writes an alert as a mail.
pub fn mail(alert: &Alert, from: &str, to: &str) -> Mail {
    let (headline, facts) = words(&alert.what);
    let subject = one_line(&format!("{}: {headline}", alert.customer));
    let mut rows = vec![("Customer", alert.customer.to_string())];
    rows.extend(facts);
    rows.extend([("Time", alert.timestamp.to_string()), ("Alert", alert.id.clone())]);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).saturating_add(2);
    let mut text = format!("{headline}.\n\n");
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><body style=\"font:16px/1.5 system-ui,sans-serif;margin:24px\">\
         <h1 style=\"font-size:20px\">{}.</h1><table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\">",
        escaped(&headline)
    );
    for (name, value) in &rows {
        text.push_str(&format!("{:<width$}{}\n", format!("{name}:"), one_line(value)));
        html.push_str(&format!(
            "<tr><td style=\"padding:2px 16px 2px 0;color:#595959\">{name}</td><td>{}</td></tr>",
            escaped(value)
        ));
    }
    html.push_str("</table></body></html>");
    Mail { from: from.to_owned(), to: to.to_owned(), subject, text, html }
}

type Facts = Vec<(&'static str, String)>;

fn words(what: &What) -> (String, Facts) {
    match what {
        What::Limit { percent, limit } => {
            (format!("{percent} % of the limit \"{}\" is used", limit.id), limit_facts(limit))
        }
        What::Burn { limit, factor, spent_day, spent_hour } => {
            let mut facts = limit_facts(limit);
            facts.push(("Last 24 hours", format!("{spent_day} {}", limit.unit)));
            facts.push(("Last hour", format!("{spent_hour} {}", limit.unit)));
            facts.push(("Pace", format!("at least {factor} times as fast as evenly spread")));
            (format!("The limit \"{}\" will be spent before it resets", limit.id), facts)
        }
        What::Typical { percent, month, spent, typical, from_months, currency } => (
            format!("{percent} % of a usual month is spent"),
            vec![
                ("Month", month.clone()),
                ("Spent", format!("{spent} {currency}")),
                ("Usual month", format!("{typical} {currency} (of {from_months} months)")),
            ],
        ),
        What::Balance { name, left, below, grant, .. } => {
            let headline = if below.is_zero() { "Credit is used up" } else { "Credit is low" };
            let facts = vec![
                ("Left", format!("{left} {name}")),
                ("Told at", format!("{below} {name}")),
                ("Last grant", grant.clone()),
            ];
            (headline.to_owned(), facts)
        }
        What::RunsOut { left, spent_day, days, currency, grant } => (
            format!("Credit lasts for {days} more days or fewer"),
            vec![
                ("Left", format!("{left} {currency}")),
                ("Last 24 hours", format!("{spent_day} {currency}")),
                ("Last grant", grant.clone()),
            ],
        ),
        What::Spike { day, spent, usual, above, from_days, currency } => (
            "Today's spend is unlike the days before".to_owned(),
            vec![
                ("Day", day.clone()),
                ("Spent so far", format!("{spent} {currency}")),
                ("Usual day", format!("{usual} {currency} (of {from_days} days)")),
                ("Unusual above", format!("{above} {currency}")),
            ],
        ),
        What::Unpriced(used) => usage("Something was used that no price covers", used),
        What::Suspect(used) => usage("An upstream's report contradicts itself", used),
        What::Unknown(used) => usage("An upstream reported numbers of unknown meaning", used),
        What::Overage(used) => usage("More was used than was held", used),
        What::ServedOther(used) => usage("Another model served than was asked for", used),
        What::Conflict { seq } => (
            "An attempt was settled twice, with two contents".to_owned(),
            vec![("Record that stands", seq.clone())],
        ),
        What::Week(week) => week_words(week),
        What::Test {} => ("This is a test".to_owned(), Vec::new()),
    }
}

fn limit_facts(limit: &LimitView) -> Facts {
    let unit = &limit.unit;
    let mut facts = vec![
        ("Used", format!("{} of {} {unit}", limit.settled, limit.limit)),
        ("Held", format!("{} {unit}", limit.held)),
        ("Remaining", format!("{} {unit}", limit.remaining)),
    ];
    if let Some(value) = &limit.value {
        facts.push(("For", format!("{} {value}", limit.scope.as_str())));
    }
    if let Some(resets_at) = limit.resets_at {
        facts.push(("Resets", resets_at.to_string()));
    }
    facts
}

fn usage(headline: &str, used: &Used) -> (String, Facts) {
    let mut facts = vec![
        ("Model", used.model.clone()),
        ("Request", used.request_id.to_string()),
        ("Record", used.seq.clone()),
    ];
    if !used.names.is_empty() {
        facts.push(("What", used.names.join(", ")));
    }
    (headline.to_owned(), facts)
}

fn week_words(week: &WeekSummary) -> (String, Facts) {
    let currency = &week.currency;
    let mut facts = vec![
        ("Week", format!("{} to {}", week.week, week.last_day)),
        ("Spent", format!("{} {currency}", week.spent)),
    ];
    if let (Some(before), Some(change)) = (week.before, week.change) {
        let percent = week.change_percent.map(|percent| format!(", {percent} %"));
        facts.push(("Week before", format!("{before} {currency}")));
        facts.push(("Change", format!("{change} {currency}{}", percent.unwrap_or_default())));
    }
    if let Some(Share { model, spent }) = &week.top_model {
        facts.push(("Top model", format!("{model}, {spent} {currency}")));
    }
    if let Some(PeakDay { day, spent }) = &week.peak_day {
        facts.push(("Peak day", format!("{day}, {spent} {currency}")));
    }
    (format!("{} {currency} in the week of {}", week.spent, week.week), facts)
}

/// What clients chose, such as a model's name, must not begin another line or header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn alert(what: &str) -> Alert {
        let text = format!(
            r#"{{"id":"alert_1","timestamp":"2026-11-23T22:00:00Z","customer":"acme",{what}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_week_reads_well_as_text() {
        let mail = mail(
            &alert(
                r#""type":"summary.week","data":{"week":"2026-11-16","last_day":"2026-11-22",
                   "spent":"9.5","before":"13","change":"-3.5","change_percent":"-26.9",
                   "top_model":{"model":"gpt-4o","spent":"9"},"peak_day":{"day":"2026-11-18","spent":"9"},
                   "currency":"USD"}"#,
            ),
            "farebox@example.com",
            "ops@example.com",
        );
        assert_eq!(mail.subject, "acme: 9.5 USD in the week of 2026-11-16");
        assert_eq!(
            mail.text,
            "9.5 USD in the week of 2026-11-16.\n\n\
             Customer:    acme\nWeek:        2026-11-16 to 2026-11-22\nSpent:       9.5 USD\n\
             Week before: 13 USD\nChange:      -3.5 USD, -26.9 %\nTop model:   gpt-4o, 9 USD\n\
             Peak day:    2026-11-18, 9 USD\nTime:        2026-11-23T22:00:00.000Z\nAlert:       alert_1\n"
        );
    }

    #[test]
    fn what_a_client_chose_cannot_become_markup_or_another_line() {
        let used = r#""type":"usage.unpriced","data":{"model":"<img src=x>\r\nBcc: a@b.c & \"x\"",
            "day":"2026-11-23","request_id":"018bcfe5-6800-7707-8707-070707070707","seq":"7"}"#;
        let mail = mail(&alert(used), "a@example.com", "b@example.com");
        assert!(!mail.html.contains("<img") && mail.html.contains("&lt;img src=x&gt;"));
        assert!(mail.text.contains("Model:    <img src=x>  Bcc: a@b.c & \"x\"\n"), "{}", mail.text);
        assert!(!mail.subject.contains('\n'));
    }
}

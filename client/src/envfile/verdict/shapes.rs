//! What keys of known makers look like. Prefixes are the makers' own, made to be searched for.

/// A prefix, how long the whole is at least, and what it is.
const PREFIXES: &[(&str, usize, &str)] = &[
    ("sk-ant-", 20, "an Anthropic key"),
    ("sk-or-", 20, "an OpenRouter key"),
    ("sk-proj-", 20, "an OpenAI key"),
    ("sk-svcacct-", 20, "an OpenAI key"),
    ("sk-", 20, "an OpenAI key"),
    ("github_pat_", 20, "a GitHub token"),
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghr_", 20, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("gldt-", 20, "a GitLab token"),
    ("glrt-", 20, "a GitLab token"),
    ("xoxa-", 15, "a Slack token"),
    ("xoxb-", 15, "a Slack token"),
    ("xoxp-", 15, "a Slack token"),
    ("xoxr-", 15, "a Slack token"),
    ("xoxs-", 15, "a Slack token"),
    ("xapp-", 15, "a Slack token"),
    ("AKIA", 20, "an AWS access key id"),
    ("ASIA", 20, "an AWS access key id"),
    ("AIza", 35, "a Google API key"),
    ("GOCSPX-", 20, "a Google client secret"),
    ("ya29.", 20, "a Google access token"),
    ("hf_", 20, "a Hugging Face token"),
    ("r8_", 20, "a Replicate token"),
    ("gsk_", 20, "a Groq key"),
    ("pplx-", 20, "a Perplexity key"),
    ("xai-", 20, "an xAI key"),
    ("SG.", 30, "a SendGrid key"),
    ("npm_", 20, "an npm token"),
    ("pypi-", 20, "a PyPI token"),
    ("dop_v1_", 20, "a DigitalOcean token"),
    ("doo_v1_", 20, "a DigitalOcean token"),
    ("dp.pt.", 20, "a Doppler token"),
    ("dp.st.", 20, "a Doppler token"),
    ("rk_live_", 15, "a Stripe key"),
    ("rk_test_", 15, "a Stripe key"),
    ("sk_live_", 15, "a Stripe key"),
    ("sk_test_", 15, "a Stripe key"),
    ("whsec_", 15, "a Stripe webhook secret"),
    ("shpat_", 20, "a Shopify token"),
    ("shpss_", 20, "a Shopify secret"),
    ("shpca_", 20, "a Shopify token"),
    ("sq0csp-", 20, "a Square secret"),
    ("EAAA", 40, "a Square or Meta token"),
    ("lin_api_", 20, "a Linear key"),
    ("secret_", 40, "a Notion token"),
    ("ntn_", 30, "a Notion token"),
    ("figd_", 20, "a Figma token"),
    ("phx_", 20, "a PostHog key"),
    ("sntrys_", 20, "a Sentry token"),
    ("sntryu_", 20, "a Sentry token"),
    ("dckr_pat_", 20, "a Docker token"),
    ("nfp_", 20, "a Netlify token"),
    ("vercel_", 20, "a Vercel token"),
    ("fo1_", 20, "a Fly.io token"),
    ("hvs.", 20, "a HashiCorp Vault token"),
    ("hvb.", 20, "a HashiCorp Vault token"),
    ("tvly-", 20, "a Tavily key"),
    ("fw_", 20, "a Fireworks key"),
    ("key-", 30, "a Mailgun key"),
    ("rubygems_", 20, "a RubyGems token"),
    ("PMAK-", 20, "a Postman key"),
    ("ATATT3", 20, "an Atlassian token"),
    ("ops_ey", 40, "a 1Password token"),
    ("AGE-SECRET-KEY-1", 20, "an age identity"),
    ("AGE-PLUGIN-", 20, "an age identity"),
];

/// What begins so is a secret as a whole.
const STARTS: &[(&str, &str)] = &[
    ("https://hooks.slack.com/", "a Slack webhook"),
    ("https://discord.com/api/webhooks/", "a Discord webhook"),
    ("https://discordapp.com/api/webhooks/", "a Discord webhook"),
    ("https://outlook.office.com/webhook/", "a Teams webhook"),
    ("FlyV1 ", "a Fly.io token"),
];

/// Inside a longer text, a key has at least so many letters and digits in a row.
const RUN_MIN: usize = 10;

/// What the value looks like, or holds, if that is of a known make.
pub(super) fn find(value: &[u8]) -> Option<&'static str> {
    if contains(value, b"-----BEGIN ") && contains(value, b"PRIVATE KEY") {
        return Some("a private key");
    }
    let text = str::from_utf8(value).ok()?;
    if let Some((_, what)) = STARTS.iter().find(|(start, _)| text.starts_with(start)) {
        return Some(what);
    }
    let whole = (!text.contains(char::is_whitespace)).then_some(text);
    let whole = whole.and_then(prefixed).map(|(_, what)| what);
    whole
        .or_else(|| parts(text, ":").find_map(telegram))
        .or_else(|| parts(text, "").find_map(inner))
}

/// The longest runs of what keys are made of.
fn parts<'t>(text: &'t str, also: &'static str) -> impl Iterator<Item = &'t str> {
    text.split(move |c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c) && !also.contains(c))
}

/// What a part of a text is: more is asked of it than of a value that is nothing else.
fn inner(part: &str) -> Option<&'static str> {
    if is_jwt(part) {
        return Some("a JSON Web Token");
    }
    if is_twilio(part) {
        return Some("a Twilio key");
    }
    let (body, what) = prefixed(part)?;
    let mut runs = body.split(|c: char| !c.is_ascii_alphanumeric());
    runs.any(|run| run.len() >= RUN_MIN && run.bytes().any(is_keyish)).then_some(what)
}

/// The rest behind a maker's prefix, and what it is.
fn prefixed(text: &str) -> Option<(&str, &'static str)> {
    let made =
        |(start, len, _): &&(&str, usize, &str)| text.len() >= *len && text.starts_with(start);
    let (start, _, what) = PREFIXES.iter().find(made)?;
    let body = &text[start.len()..];
    body.bytes().any(is_keyish).then_some((body, *what))
}

/// `sk-learn-based-classifier` is a word; keys have digits or capitals.
fn is_keyish(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase()
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.len() >= 30 && text.matches('.').count() >= 2
}

fn is_twilio(text: &str) -> bool {
    let hex = text.strip_prefix("SK").filter(|rest| rest.len() == 32);
    hex.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `bot123456789:AA…`: the number of the bot, and 35 bytes.
fn telegram(part: &str) -> Option<&'static str> {
    let (bot, key) = part.rsplit_once(':')?;
    let digits = bot.bytes().rev().take_while(u8::is_ascii_digit).count();
    (digits >= 6 && key.len() == 35 && key.starts_with("AA")).then_some("a Telegram bot token")
}

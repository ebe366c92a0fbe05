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
    ("FlyV1 ", 20, "a Fly.io token"),
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

/// Addresses that are secrets as a whole.
const SECRET_ADDRESSES: &[(&str, &str)] = &[
    ("https://hooks.slack.com/", "a Slack webhook"),
    ("https://discord.com/api/webhooks/", "a Discord webhook"),
    ("https://discordapp.com/api/webhooks/", "a Discord webhook"),
    ("https://outlook.office.com/webhook/", "a Teams webhook"),
];

/// What the value looks like, if it is of a known make.
pub(super) fn find(value: &[u8]) -> Option<&'static str> {
    if value.starts_with(b"-----BEGIN ") && contains(value, b"PRIVATE KEY") {
        return Some("a private key");
    }
    let text = str::from_utf8(value).ok()?;
    if let Some((_, what)) = SECRET_ADDRESSES.iter().find(|(start, _)| text.starts_with(start)) {
        return Some(what);
    }
    if has_password(text) {
        return Some("an address with a password");
    }
    if contains(value, b"AccountKey=") || contains(value, b"SharedAccessKey=") {
        return Some("an Azure connection string");
    }
    if text.contains(char::is_whitespace) && !text.starts_with("FlyV1 ") {
        return None;
    }
    if is_jwt(text) {
        return Some("a JSON Web Token");
    }
    let made =
        |(start, len, _): &&(&str, usize, &str)| text.len() >= *len && text.starts_with(start);
    let (start, _, what) = PREFIXES.iter().find(made)?;
    let body = &text[start.len()..];
    // `sk-learn-based-classifier` is a word; keys have digits or capitals.
    let keyish = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    body.bytes().any(keyish).then_some(*what)
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

/// `scheme://user:password@host`.
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((login, _)) = authority.rsplit_once('@').or_else(|| {
        // A password may hold a bare slash, against the RFC.
        rest.rsplit_once('@').filter(|(login, _)| !login.contains('/') || login.contains(':'))
    }) else {
        return false;
    };
    let password = login.split_once(':').map_or("", |(_, password)| password);
    !password.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.len() >= 30 && text.matches('.').count() >= 2
}

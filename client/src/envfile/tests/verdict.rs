//! Which assignments are secrets, and what is said of them.

use crate::envfile::{Verdict, verdict};

fn why(var: &str, value: &str) -> String {
    match verdict::of(var, value.as_bytes()) {
        Verdict::Secret(why) => why.to_string(),
        Verdict::Plain => "plain".to_owned(),
    }
}

#[test]
fn names_tell() {
    for var in [
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "SESSION_SECRET",
        "DB_PASSWORD",
        "db_password",
        "PASS",
        "MYSQL_PWD",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AUTH",
        "BASIC_AUTH",
        "APIKEY",
        "COOKIE_SIGNING_KEY",
        "TEAMS_WEBHOOK_URL",
        "AZURE_CONNECTION_STRING",
        "GCP_CREDENTIALS",
        "SECRET_KEY_BASE",
        "KEY_2",
        "TOKEN_OLD",
        "PRIVATE_KEY",
        "SMTP_PASSWD",
        "SECRET_NAME_SALT",
        "DB_PASSWORD2",
        "PASSWORD1",
        "API_TOKEN1",
        "KEY2",
        "KEY2_OLD",
        "clientSecret",
        "privateKey",
        "accessToken",
        "apiKey",
        "oauth2Key",
        "DBPASSWORD",
        "dbpassword",
        "AUTHTOKEN",
        "AUTH0_CLIENT_SECRET",
        "AUTHORIZATION",
        "AUTHORIZATION_HEADER",
        "AUTH_HEADER",
        "MNEMONIC",
        "WALLET_SEED_PHRASE",
    ] {
        assert!(why(var, "hunter-two").starts_with("its name has "), "{var}");
    }
    assert_eq!(why("OPENAI_API_KEY", "abc123"), "its name has API_KEY");
}

#[test]
fn names_of_other_things_do_not() {
    for var in [
        "MONKEY",
        "KEYBOARD",
        "AUTHOR",
        "PASSENGERS",
        "COMPASS",
        "STRIPE_PUBLISHABLE_KEY",
        "SSH_PUBLIC_KEY",
        "TLS_KEY_FILE",
        "TOKEN_URL",
        "KEY_ID",
        "AUTH_ENABLED",
        "TOKEN_TTL",
        "SECRET_NAME",
        "PRIMARY_KEY",
        "AUTH_PROVIDER",
        "NODE_ENV",
        "LOG_LEVEL",
        "TOKENIZER",
        "PUBKEY",
        "SSH_PUBKEY2",
        "publicKey",
        "VAPID_PUBLIC_KEY",
        "TLS_KEY1_FILE",
        "tokenUrl",
        "accessKeyId",
        "TOKEN_ADDRESS",
        "AUTH_HEADER_NAME",
        "AUTH0_TENANT",
        "ONEPASSWORD_ACCOUNT",
        "TIKTOKEN_ENCODING",
        "monkeyKing",
    ] {
        assert_eq!(why(var, "hunter-two"), "plain", "{var}");
    }
}

#[test]
fn values_overrule_names() {
    for value in [
        "",
        "true",
        "FALSE",
        "0",
        "10",
        "changeme",
        "CHANGEME",
        "xxx",
        "xxxxxxxx",
        "***",
        "your-key-here",
        "your_api_key",
        "yourkeyhere",
        "<token>",
        "{{ token }}",
        "none",
        "/run/secrets/key",
        "./keys/a.pem",
        "~/.ssh/id_rsa",
        "todo",
    ] {
        assert_eq!(why("API_KEY", value), "plain", "{value}");
    }
    for name in ["MAX_TOKENS", "TOKEN_BUDGET", "KEY_ROTATION", "API_KEY", "AUTH"] {
        assert_eq!(why(name, "4096"), "plain", "{name}");
        assert_ne!(why(name, "123456789"), "plain", "{name}");
    }
    for name in ["PIN", "DB_PASSWORD", "SMTP_PASSWD", "KEY_PASSPHRASE", "SECRET_TOKEN", "PASS"] {
        assert_ne!(why(name, "4096"), "plain", "{name}");
    }
    assert_ne!(why("API_KEY", "/9j4AAQSkZJRgABAQAAAQABAAD2wBDAAgGBgcGBQgHBwcJ=="), "plain");
}

#[test]
fn makes_are_known() {
    for (value, expected) in [
        ("sk-Abcdefghijklmnopqrst0123", "it looks like an OpenAI key"),
        ("sk-proj-Abcdefghijklmnopqrst0123", "it looks like an OpenAI key"),
        ("sk-ant-api03-Abcdefghijklmnop", "it looks like an Anthropic key"),
        ("sk-or-v1-0123456789abcdef0123", "it looks like an OpenRouter key"),
        ("ghp_0123456789abcdefABCDEF0123456789abcd", "it looks like a GitHub token"),
        ("github_pat_11ABCDEFG0123456789", "it looks like a GitHub token"),
        ("glpat-0123456789abcdefABCD", "it looks like a GitLab token"),
        ("xoxb-1234567890-abcdef", "it looks like a Slack token"),
        ("AKIAIOSFODNN7EXAMPLE", "it looks like an AWS access key id"),
        ("AIzaSyA0123456789abcdefghijklmnopqrstuv", "it looks like a Google API key"),
        ("hf_Abcdefghijklmnopqrst", "it looks like a Hugging Face token"),
        ("sk_live_0123456789abcdef", "it looks like a Stripe key"),
        ("npm_0123456789abcdefghij", "it looks like an npm token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n", "it looks like a private key"),
        ("AGE-SECRET-KEY-1QQPQ0123456789", "it looks like an age identity"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "it looks like a JSON Web Token"),
        ("postgres://app:hunter2@db:5432/x", "it looks like an address with a password"),
        ("redis://:hunter2@db/0", "it looks like an address with a password"),
        ("mongodb+srv://u:p%40@c.example.net/x", "it looks like an address with a password"),
        ("https://u:p@example.com", "it looks like an address with a password"),
        ("https://hooks.slack.com/services/T0/B0/x", "it looks like a Slack webhook"),
    ] {
        assert_eq!(why("X", value), expected, "{value}");
    }
}

#[test]
fn keys_are_found_inside_longer_values() {
    for (value, expected) in [
        ("https://ghp_0123456789abcdefABCD@github.com/a/b.git", "a GitHub token"),
        ("git:ghp_0123456789abcdefABCD", "a GitHub token"),
        ("Authorization: Bearer sk-proj-Abcdefghijklmnop0123", "an OpenAI key"),
        (r#"{"api_key":"sk_live_0123456789abcdef"}"#, "a Stripe key"),
        (r#"{"apiKey":"AIzaSyA0123456789abcdefghijklmnopqrstuv"}"#, "a Google API key"),
        ("https://example.com/v1?key=AIzaSyA0123456789abcdefghijklmnopqrstuv", "a Google API key"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "a JSON Web Token"),
        (r#"{"key":"-----BEGIN PRIVATE KEY-----\nMIIB\n","x":1}"#, "a private key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
        ("123456789:AAF0123456789abcdefghijklmnopqrstuv", "a Telegram bot token"),
        (
            "https://api.telegram.org/bot123456789:AAF0123456789abcdefghijklmnopqrstuv/getMe",
            "a Telegram bot token",
        ),
        ("SK0123456789abcdef0123456789abcdef", "a Twilio key"),
        ("FlyV1 fm2_lJPE/+AAAA", "a Fly.io token"),
    ] {
        assert_eq!(why("X", value), format!("it looks like {expected}"), "{value}");
    }
    for value in [
        "https://example.com/key-management-in-production-2024-overview",
        "see sk-learn-based-classifier-2 and npm_config_registry_of_2024",
        "-----BEGIN PUBLIC KEY-----",
        "12345:AAF0123456789abcdefghijklmnopqrstuv",
        "SK0123456789",
    ] {
        assert_eq!(why("X", value), "plain", "{value}");
    }
}

#[test]
fn connection_strings_hold_secrets() {
    for value in [
        "jdbc:postgresql://db:5432/x?user=app&password=hunter2",
        "jdbc:mysql://app:hunter2@db/x",
        "jdbc:sqlserver://db;user=sa;Password=hunter2;",
        "Server=db;Database=x;User Id=sa;Pwd=hunter2;",
        "Server=db;Password = 'hunter2'",
        "host=db user=app password=hunter2",
        r#"PlainLoginModule required username="a" password="hunter2";"#,
        r#"PlainLoginModule required username=\"a\" password=\"hunter2\";"#,
        r#"{"user": "app", "password": "hunter2"}"#,
        r#"{"url":"postgres://app:hunter2@db/x"}"#,
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aGVsbG8=;",
        "Endpoint=sb://a.example.net/;SharedAccessKeyName=Root;SharedAccessKey=aGVsbG8=",
        "https://a.blob.core.windows.net/c?sv=2024-01-01&sr=c&sig=aGVsbG8%3D",
        "-Djavax.net.ssl.keyStorePassword=changeit",
    ] {
        assert!(why("X", value).starts_with("it looks like a"), "{value}");
    }
    for value in [
        "jdbc:postgresql://db:5432/x?user=app",
        "Server=db;User Id=sa;Password=;Encrypt=true",
        "host=db reset_password=true",
        "Endpoint=sb://a.example.net/;SharedAccessKeyName=Root",
        "https://example.com/?design=round",
        r#"{"password": "<password>"}"#,
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:name",
    ] {
        assert_eq!(why("X", value), "plain", "{value}");
    }
}

#[test]
fn a_dsn_is_a_secret_if_it_lets_in() {
    for value in [
        "postgres://app:hunter2@db/x",
        "app:hunter2@tcp(db:3306)/x",
        "host=db password=hunter2",
        "https://0123456789abcdef0123456789abcdef@o1.ingest.example.io/1",
    ] {
        assert_ne!(why("SENTRY_DSN", value), "plain", "{value}");
    }
    for value in ["localhost", "hunter-two", "postgres://app@db:5432/x", "mysql:host=db;dbname=x"] {
        assert_eq!(why("SENTRY_DSN", value), "plain", "{value}");
    }
}

#[test]
fn what_is_published_is_plain_unless_its_name_is_sure() {
    for value in [
        "pk_test_0123456789abcdefABCDEF",
        "pk_live_0123456789abcdefABCDEF",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "123456789012-0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p.apps.googleusercontent.com",
    ] {
        for name in ["X", "KEY", "AUTH_TOKEN"] {
            assert_eq!(why(name, value), "plain", "{name}={value}");
        }
        for name in ["CLIENT_SECRET", "PASSWORD2", "PRIVATE_KEY"] {
            assert_ne!(why(name, value), "plain", "{name}={value}");
        }
    }
    for value in [
        "org-aB3dE5gH7jK9mN1pQ3sT5vW7",
        "price_1MoBy5LkdIwHu7ixZhnattbh",
        "prod_NffrFeUfNV2HibXy3Kd9",
    ] {
        assert_eq!(why("X", value), "plain", "{value}");
        assert_ne!(why("API_KEY", value), "plain", "{value}");
    }
    let key = "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_ne!(why("DEPLOYER_KEY", key), "plain");
    assert_eq!(
        why("MINISIGN_PUB", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"),
        "plain"
    );
}

#[test]
fn randomness_tells_and_everyday_values_do_not() {
    for value in ["tV9xQ2mB7kLp4ZsW8nRc3YdF", "9f8Gh2+kL0/pQ7rSt1uVw3xYz5Ab6Cd8E=="] {
        assert_eq!(why("X", value), "it looks random", "{value}");
    }
    for value in [
        "postgres://app@db:5432/x",
        "https://example.com/a/very/long/path/of/words/2024",
        "550e8400-e29b-41d4-a716-446655440000",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "eu-central-1",
        "1.2.3-beta.4+build.5678901234",
        "someone.with.long.name@example.com",
        "/usr/local/share/something/1/2/3",
        "the quick brown fox jumps over 13 lazy dogs",
        "us-docker.pkg.dev/project-1/repo-2/image-3",
        "arn:aws:iam::123456789012:role/x",
        "my-service-name-in-production-2",
        "sk-learn-based-classifier-model",
        "0123456789012345678901234",
        "com.example.application.module.v2024",
        "12345678-compute@developer.gserviceaccount.com",
        "host1.example.com,host2.example.com,host3.example.com",
    ] {
        assert_eq!(why("X", value), "plain", "{value}");
    }
    assert_eq!(why("BUILD_ID", "tV9xQ2mB7kLp4ZsW8nRc3YdF"), "plain");
}

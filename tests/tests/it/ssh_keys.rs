//! An SSH key as the identity that opens the vault, in a build that has them; elsewhere the
//! refusal says what to do.

use keyagent_tests::{Home, Output};

/// Makes a key of that name as a human does, and returns the run of `init` with it.
fn init_with(home: &Home, name: &str, passphrase: &str) -> Output {
    let script = format!(
        "mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '{passphrase}' -f ~/.ssh/{name} &&
         exec keyagent init --identity ~/.ssh/{name}"
    );
    home.command("sh").args(["-c", &script]).run()
}

#[cfg(not(feature = "ssh"))]
#[test]
fn needs_ssh_keygen_an_ssh_key_is_refused_and_the_way_out_named() {
    let home = Home::new();
    let refused = init_with(&home, "id_ed25519", "").fails(4).complains("that is an SSH key");
    let refused = refused.complains("`age-keygen -o FILE`");
    refused.complains("`KEYAGENT_FEATURES=ssh packaging/install.sh`");
    assert!(!home.vault().exists(), "nothing is made");
}

#[cfg(feature = "ssh")]
#[test]
fn needs_ssh_keygen_needs_age_an_ssh_key_opens_the_vault() {
    use keyagent_tests::wire::done;
    use keyagent_wire::request::{Key, Reseal, Seal};
    use keyagent_wire::{Refusal, Request};

    let home = Home::new();
    init_with(&home, "closed", "a passphrase of its own")
        .fails(4)
        .complains("passphrase of its own");
    init_with(&home, "id_ed25519", "").code(0);
    home.wire().put("ssh/canary", home.canary().as_bytes());
    home.keyagent(["lock"]).run().quietly();
    assert_eq!(home.wire().get("ssh/canary"), Err(Refusal::Locked));
    home.keyagent(["unlock"]).run().quietly();
    assert_eq!(home.wire().get("ssh/canary"), Ok(home.canary().as_bytes().to_vec()));
    // Nothing of ours is wanted for it.
    let stock = "age -d -i ~/.ssh/id_ed25519 identity.age | grep -c AGE-SECRET-KEY-1";
    home.command("sh").args(["-c", stock]).dir(home.data()).run().quietly().prints("1\n");
    // Without it, there is none.
    let key = home.root().join("home/.ssh/id_ed25519");
    let away = key.with_extension("away");
    std::fs::rename(&key, &away).expect("both are ours");
    home.keyagent(["lock"]).run().quietly();
    home.keyagent(["unlock"]).run().fails(4).complains("is not there");
    std::fs::rename(&away, &key).expect("both are ours");
    home.keyagent(["unlock"]).run().quietly();
    done(home.wire().ask(&Request::Reseal(Reseal { key: Key::Stored, seal: Seal::Nothing })));
}

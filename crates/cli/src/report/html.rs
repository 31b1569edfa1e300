//! `report.html`: one file, no requests, light and dark, fit for A4.

use std::fmt::Write;

use cryptotl_privacy::audit::Audit;
use cryptotl_privacy::{EntryKind, Event, Proof, SumEvent};

use super::Report;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5a6676;--line:#d5dbe3;--a:#1f5fbf;--b:#b4540a;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#9aa6b6;--line:#39424f;--a:#7db1ff;--b:#ffb071;--page:#141920}}
@page{size:A4;margin:16mm}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line)}
blockquote{margin:1rem 0;padding:.6rem 1rem;border-left:4px solid var(--a)}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600;color:var(--soft);min-width:8rem}.soft{color:var(--soft);font-size:.9rem}svg{width:100%;height:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}.sign td{height:2.6rem}
";

/// The page.
pub fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail, so the results carry nothing.
    let _ = write_page(&mut page, report);
    page
}

fn write_page(page: &mut String, report: &Report) -> std::fmt::Result {
    let title = format!("Privacy audit report: {}", escape(&report.population));
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p class=\"soft\">Head {}, cryptotl {}</p>",
        escape(&report.head_digest),
        escape(&report.tool_version)
    )?;
    write!(page, "<h2>The promise</h2><blockquote>{}</blockquote>", escape(&report.sentence))?;
    let ledger = &report.ledger;
    let affordable = report.left.1.map_or("nothing".to_owned(), |e| format!("epsilon {e} in one release"));
    table(
        page,
        &[
            (
                "This release",
                format!("epsilon {} at delta {}", report.target_epsilon, report.guarantee.delta),
            ),
            (
                "All releases so far",
                format!(
                    "epsilon {} of {} (recomputed from the ledger)",
                    report.accounted_epsilon, ledger.epsilon_cap
                ),
            ),
            ("Left", format!("rho {}, which buys {affordable}", report.left.0)),
            (
                "Privacy unit",
                format!("one {}, by {} adjacency", report.guarantee.unit, report.guarantee.adjacency),
            ),
            ("Public bound on the units", ledger.public_size.to_string()),
            ("Attack", attack(&report.attack)),
        ],
    )?;
    write!(page, "<h2>Privacy profile</h2>{}", profile_drawing(report))?;
    page.write_str(
        "<p class=\"soft\">Every point of a curve holds at once: for the delta below it, the loss is at most the \
         epsilon beside it, by the ledger's accountant.</p>",
    )?;
    let (noise, sum) = match &report.event {
        Event::GaussianSum(sum) => ("Gaussian", sum),
        Event::LaplaceSum(sum) => ("Laplace", sum),
        _ => return page.write_str("<h2>Mechanism</h2><p>not assessed: this version does not know it</p>"),
    };
    let SumEvent { dimension, clipping_norm, noise_multiplier, steps, slack, .. } = sum;
    page.write_str("<h2>Mechanism</h2>")?;
    let claim = match report.guarantee.proof {
        Proof::Gdp => "this is the guarantee's epsilon",
        _ => "for comparison, not claimed",
    };
    let gdp = report
        .gaussian_dp
        .map_or("no figure".to_owned(), |(mu, epsilon)| format!("mu {mu:.4}, epsilon {epsilon}: {claim}"));
    table(
        page,
        &[
            ("What ran", format!("{steps} noisy sums of {dimension} numbers over all units, no sampling")),
            ("Clipping norm", clipping_norm.to_string()),
            ("Slack for other units", slack.to_string()),
            ("Noise multiplier", format!("{noise_multiplier:.4} (discrete {noise} of OpenDP)")),
            ("Random numbers", ledger.rng.to_string()),
            ("Loss", format!("rho {} of zero-concentrated DP", report.guarantee.rho)),
            ("Exact Gaussian DP", gdp),
        ],
    )?;
    page.write_str("<h2>Encryption of the inputs</h2>")?;
    match &report.encryption {
        None => {
            page.write_str("<p>The head reads the data owner's own embeddings alone: nothing was sent.</p>")?
        }
        Some(e) => {
            table(
                page,
                &[
                    ("Scheme", "CKKS (Microsoft SEAL); keys are the data owner's, one set a job".to_owned()),
                    ("Parameters", e.parameter_set.clone()),
                    ("Security", e.security_basis.clone()),
                    ("Evaluated", e.evaluator.clone()),
                ],
            )?;
            page.write_str(
                "<p class=\"soft\">CKKS is not secure against a party that sees decryptions (Li and Micciancio \
                 2021): nothing computed from features goes back to the model owner but this head, which is public. \
                 The coupling of records that share a ciphertext is not yet part of the sensitivity.</p>",
            )?;
        }
    }
    page.write_str("<h2>The ledger</h2><table><tr><th>Entry<th>When<th>What<th>epsilon<th>rho</tr>")?;
    for entry in &ledger.entries {
        let what = match entry.kind {
            EntryKind::Genesis => "created".to_owned(),
            EntryKind::Charge => {
                let words = entry.description.iter().flatten().map(|(k, v)| format!("{k} {v}"));
                format!("charge: {}", words.collect::<Vec<_>>().join(", "))
            }
            EntryKind::Release => format!("release of charge {}", entry.charge_seq.unwrap_or_default()),
            _ => "other".to_owned(),
        };
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            entry.seq,
            escape(&entry.recorded_at.to_string()),
            escape(&what),
            entry.epsilon.map_or(String::new(), |e| e.to_string()),
            entry.rho.map_or(String::new(), |r| r.to_string())
        )?;
    }
    write!(
        page,
        "</table><p class=\"soft\">The head's entry {} was found unchanged in the ledger, whose chain of hashes ends \
         at {}.</p><h2>Sign-off</h2><table class=\"sign\"><tr><th>Name<td></tr><tr><th>Date<td></tr>\
         <tr><th>Signature<td></tr></table></html>",
        report.witness.seq, ledger.head.hash
    )
}

/// The attack's result in one sentence.
fn attack(audit: &Audit) -> String {
    let evidence = match audit {
        Audit::NotAssessed { reason, .. } => return format!("not assessed: {reason}"),
        Audit::Assessed(evidence) => evidence,
    };
    let bound = evidence.headline().map_or(0.0, |bound| bound.epsilon);
    format!(
        "{}: epsilon is at least {bound:.3} at 95 % confidence, where {} is claimed",
        evidence.verdict.words(),
        evidence.claim.guarantee.epsilon
    )
}

fn table(page: &mut String, rows: &[(&str, String)]) -> std::fmt::Result {
    page.write_str("<table>")?;
    for (name, value) in rows {
        write!(page, "<tr><th scope=\"row\">{}<td>{}</tr>", escape(name), escape(value))?;
    }
    page.write_str("</table>")
}

/// epsilon against delta (logarithmic), for this release and for all that was spent.
fn profile_drawing(report: &Report) -> String {
    const LEFT: f64 = 60.0;
    const RIGHT: f64 = 700.0;
    const TOP: f64 = 20.0;
    const BOTTOM: f64 = 260.0;
    let top = report.profile.iter().map(|p| p.spent_epsilon.get().max(p.release_epsilon.get()));
    let top = top.fold(1e-9, f64::max) * 1.05;
    let power = |delta: f64| -delta.log10();
    let x = |delta: f64| LEFT + (RIGHT - LEFT) * (power(delta) - 1.0) / 11.0;
    let y = |epsilon: f64| BOTTOM - (BOTTOM - TOP) * epsilon / top;
    let curve = |epsilon: &dyn Fn(usize) -> f64| {
        let points = report.profile.iter().enumerate();
        points
            .map(|(i, p)| format!("{:.1},{:.1}", x(p.delta.get()), y(epsilon(i))))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut axes = String::new();
    for exponent in [2, 4, 6, 8, 10, 12] {
        let at = x(10f64.powi(-exponent));
        axes += &format!("<text x=\"{at:.1}\" y=\"280\" text-anchor=\"middle\">1e-{exponent}</text>");
    }
    for quarter in 0..=4 {
        let epsilon = top * f64::from(quarter) / 4.0;
        let at = y(epsilon);
        axes += &format!(
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"52\" y=\"{:.1}\" text-anchor=\"end\">{epsilon:.2}</text>",
            at + 4.0
        );
    }
    let own = x(report.guarantee.delta.get());
    format!(
        "<svg viewBox=\"0 0 720 310\" role=\"img\" aria-label=\"epsilon against delta, for this release and for all \
         releases\">{axes}<line x1=\"{own:.1}\" x2=\"{own:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\" stroke=\"var(--soft)\" \
         stroke-dasharray=\"4\"/><polyline fill=\"none\" stroke=\"var(--b)\" stroke-width=\"2\" points=\"{}\"/>\
         <polyline fill=\"none\" stroke=\"var(--a)\" stroke-width=\"2\" stroke-dasharray=\"7 4\" points=\"{}\"/>\
         <text x=\"70\" y=\"34\" style=\"fill:var(--a)\">dashed: this release</text>\
         <text x=\"70\" y=\"52\" style=\"fill:var(--b)\">solid: all releases so far</text>\
         <text x=\"380\" y=\"302\" text-anchor=\"middle\">delta (the ledger's is at the dotted line)</text>\
         <text x=\"14\" y=\"14\">epsilon</text></svg>",
        curve(&|i| report.profile[i].spent_epsilon.get()),
        curve(&|i| report.profile[i].release_epsilon.get())
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

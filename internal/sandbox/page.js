"use strict";
// Everything shown was written by a stranger, so it only ever becomes text.

const number = new Intl.NumberFormat("en");
const cut = (s, n) => (s && s.length > n ? s.slice(0, n) + "…" : s || "");
const clock = (t) => new Date(t).toLocaleTimeString("en-GB");

function fill(id, rows) {
  const body = document.getElementById(id);
  body.replaceChildren(...rows.map((cells) => {
    const tr = document.createElement("tr");
    for (const [text, cls] of cells) {
      const td = document.createElement("td");
      td.textContent = text;
      if (cls) td.className = cls;
      tr.append(td);
    }
    return tr;
  }));
  body.parentElement.classList.toggle("none", rows.length === 0);
  document.querySelector(`[data-for="${id}"]`).hidden = rows.length > 0;
}

const code = (r) => (r.subcode ? `${r.code} / ${r.subcode}` : String(r.code));

function show(stats, events, faults) {
  for (const b of document.querySelectorAll("[data-stat]")) {
    const n = stats[b.dataset.stat];
    b.textContent = number.format(n);
    b.parentElement.classList.toggle("some", n > 0);
  }
  fill("doubles", stats.doubles.map((d) => [[d.event_name], [cut(d.event_id, 60), "id"], [d.dataset, "id word"], [`${d.count}×`, "num"]]));
  fill("refused", stats.refused_by.slice(0, 20).map((r) => [[code(r), "id word"], [r.reason], [number.format(r.calls), "num"], [number.format(r.events), "num"]]));
  fill("refusals", stats.refusals.slice(0, 10).map((r) => [
    [clock(r.at), "time"], [code(r), "id word"], [r.reason], [r.event_name || "–"], [r.event_id || "–", "id"], [r.field || "–", "id word"],
    [r.index < 0 ? "–" : `${r.index + 1} of ${r.events}`, "num"], [r.call, "num"],
  ]));
  fill("events", events.slice().reverse().map((e) => [
    [clock(e.received_at), "time"], [e.event_name], [cut(e.event_id, 48), "id"], [cut(e.ctwa_clid, 14), "id word"],
    [e.value === undefined ? "–" : `${e.value} ${e.currency || ""}`, "num"], [e.dataset, "id word"], [e.call, "num"],
  ]));
  fill("faults", faults.map((f) => [
    [f.id, "id"], [JSON.stringify(f.match), "id"], [JSON.stringify(f.action), "id"], [f.seen, "num"], [f.fired, "num"], [f.times || "∞", "num"],
  ]));
}

const get = (path) => fetch(path, { cache: "no-store" }).then((r) => (r.ok ? r.json() : Promise.reject(new Error(r.statusText))));

async function tick() {
  const live = document.getElementById("live");
  try {
    const [stats, events, faults] = await Promise.all([
      get("/_sandbox/stats?doubles=20"), get("/_sandbox/events?limit=50"), get("/_sandbox/faults"),
    ]);
    show(stats, events.events, faults.faults);
    live.textContent = "live";
    live.classList.remove("lost");
  } catch {
    live.textContent = "no answer";
    live.classList.add("lost");
  }
  setTimeout(tick, 1000);
}
tick();

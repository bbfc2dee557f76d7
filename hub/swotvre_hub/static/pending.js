"use strict";
// Says what happens while a session waits and starts, and goes to JupyterLab when it is ready.
(() => {
  const page = document.getElementById("pending");
  const progress = document.getElementById("progress");
  const bar = document.getElementById("progress-bar");
  const now = document.getElementById("progress-message");
  const log = document.getElementById("progress-log");
  const cancel = document.getElementById("stop-server-btn");
  const status = document.getElementById("stop-server-status");
  const RETRY = 3000;
  // The hub's own words for what the page says already.
  const known = new Set(["Server requested", "Spawning server..."]);
  const began = Date.now();
  // What was told, oldest first: a line of the same kind takes the place of the one before.
  let lines = [];
  // When this page saw a line first: after an interruption all are told anew.
  const seen = new Map();
  let source = null;
  let over = false;

  const show = (id, visible) => document.getElementById(id).classList.toggle("hidden", !visible);

  // Messages are text, whatever they hold: markup in them is taken out, never run.
  const textOf = (event) =>
    event.message ?? new DOMParser().parseFromString(event.html_message ?? "", "text/html").body.textContent;

  // Place and time stand by themselves below, so the sentence goes without them.
  const shorten = (message) =>
    message.replace(/; place \d+ of \d+ that wait(?=[;.])/, "").replace(/; expected to start in about [^;.]+(?=\.)/, "");

  const describeStart = (iso) => {
    const start = new Date(iso);
    const day = start.toDateString() === new Date().toDateString() ? {} : { weekday: "long" };
    return start.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
  };

  const showWaiting = (event) => {
    const waiting = event.kind === "waiting";
    const hasPlace = waiting && event.place !== undefined;
    const hasStart = waiting && event.expected_at !== undefined;
    show("waiting", hasPlace || hasStart);
    show("waiting-place", hasPlace);
    show("waiting-start", hasStart);
    show("waiting-reason", waiting && Boolean(event.reason));
    if (hasPlace) document.querySelector("#waiting-place dd").textContent = `${event.place} of ${event.waiting} waiting`;
    if (hasStart) document.querySelector("#waiting-start dd").textContent = `about ${describeStart(event.expected_at)}`;
    if (waiting) document.querySelector("#waiting-reason q").textContent = event.reason ?? "";
  };

  const elapsed = () => {
    const seconds = Math.round((Date.now() - began) / 1000);
    if (seconds < 1) return "";
    return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  };

  const redraw = () => {
    now.textContent = lines.at(-1)?.text ?? now.textContent;
    log.replaceChildren(
      ...lines.slice(0, -1).map(({ text, at }) => {
        const entry = document.createElement("li");
        const time = document.createElement("span");
        time.textContent = at;
        entry.append(text, time);
        return entry;
      }),
    );
  };

  // What happens now stands large; what it follows goes into the list.
  const record = (text, kind) => {
    if (!text || known.has(text)) return;
    const last = lines.at(-1);
    if (last?.text === text) return;
    if (!seen.has(text)) seen.set(text, elapsed());
    if (kind && last?.kind === kind) last.text = text;
    else lines.push({ text, kind, at: seen.get(text) });
    redraw();
  };

  const end = () => {
    over = true;
    source?.close();
  };

  const fail = (message) => {
    const plain = message.replace(/^Spawn failed: (\d{3} \w+\(reason=[^)]*\): )?/, "");
    const cancelled = plain === "Spawn cancelled";
    const [, sentence, said, file] = /^(.*?)\s*It said(?:: (.*)| nothing\.?) \(log: ([^()]*)\)\.?$/s.exec(plain) ?? [null, plain];
    const title = document.getElementById("pending-title");
    title.textContent = title.textContent.replace(/ is starting$/, cancelled ? " was cancelled" : " did not start");
    bar.classList.add("bg-danger");
    now.classList.add("vre-failed");
    showWaiting({});
    record(cancelled ? "The start was cancelled." : sentence);
    show("failure", Boolean(said));
    document.querySelector("#failure pre").textContent = (said ?? "").replaceAll(" / ", "\n");
    document.querySelector("#failure .vre-log-file").textContent = file ?? "";
    for (const id of ["pending-lead", "pending-actions", "may-close"]) show(id, false);
    show("failed-actions", true);
  };

  const take = (event) => {
    if (event.progress !== undefined) {
      progress.setAttribute("aria-valuenow", event.progress);
      bar.style.width = `${event.progress}%`;
    }
    if (event.failed) {
      end();
      fail(textOf(event));
    } else if (event.ready) {
      end();
      record("Ready: JupyterLab opens");
      // The hub answers this address with the running session now.
      window.location.reload();
    } else {
      showWaiting(event);
      record(event.kind === "waiting" ? shorten(textOf(event)) : textOf(event), event.kind);
    }
  };

  // The hub is being restarted, or does not know of a start: what it is, its answer tells, which an EventSource hides.
  const lookAgain = async () => {
    if (over) return;
    const abort = new AbortController();
    const answer = await fetch(page.dataset.progressUrl, { signal: abort.signal }).catch(() => null);
    abort.abort();
    if (over) return;
    if (answer?.ok) {
      status.textContent = "";
      listen();
    } else if (answer?.status === 404) {
      window.location.assign(page.dataset.homeUrl);
    } else if (answer && answer.status < 500) {
      // It is not starting any more: this address now leads to the session, or says what became of it.
      setTimeout(() => window.location.reload(), 1000);
    } else {
      status.textContent = "The hub does not answer at present; your session is kept. This page tries again by itself.";
      setTimeout(lookAgain, RETRY);
    }
  };

  const listen = () => {
    source?.close();
    source = new EventSource(page.dataset.progressUrl);
    source.onopen = () => {
      // Everything is told anew.
      lines = [];
    };
    source.onmessage = (received) => take(JSON.parse(received.data));
    source.onerror = () => {
      source.close();
      if (!over) setTimeout(lookAgain, RETRY);
    };
  };

  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    status.textContent = "Cancelling…";
    end();
    const headers = { "X-XSRFToken": window.jhdata.xsrf_token };
    const answer = await fetch(page.dataset.stopUrl, { method: "DELETE", headers }).catch(() => null);
    // A session that is not there any more is what was wanted.
    if (answer?.ok || answer?.status === 404) {
      window.location.assign(page.dataset.homeUrl);
      return;
    }
    over = false;
    listen();
    cancel.disabled = false;
    status.textContent = "The start could not be cancelled; try again in a moment.";
  });

  listen();
})();

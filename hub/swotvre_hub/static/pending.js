"use strict";
// Says what happens while a session starts, and goes to JupyterLab when it is ready.
(() => {
  const page = document.getElementById("pending");
  const title = document.getElementById("pending-title");
  const lead = document.getElementById("pending-lead");
  const progress = document.getElementById("progress");
  const bar = document.getElementById("progress-bar");
  const now = document.getElementById("progress-message");
  const log = document.getElementById("progress-log");
  const cancel = document.getElementById("stop-server-btn");
  const status = document.getElementById("stop-server-status");
  const began = Date.now();
  // The hub's own words for what the page says already.
  const known = new Set(["Server requested", "Spawning server..."]);
  let since = 0;

  // Messages are text, whatever they hold: markup in them is taken out, never run.
  const textOf = (event) =>
    event.message ?? new DOMParser().parseFromString(event.html_message ?? "", "text/html").body.textContent;

  // What happens now stands large; what it follows goes into the list.
  const record = (message) => {
    if (!message || known.has(message) || message === now.textContent) return;
    const entry = document.createElement("li");
    const time = document.createElement("span");
    time.textContent = `${since} s`;
    entry.append(time, now.textContent);
    log.append(entry);
    since = Math.round((Date.now() - began) / 1000);
    now.textContent = message;
  };

  const fail = (message) => {
    title.textContent = "Your session did not start";
    lead.classList.add("hidden");
    bar.classList.add("bg-danger");
    now.classList.add("vre-failed");
    record(message.replace(/^Spawn failed: (\d{3} \w+\(reason=[^)]*\): )?/, ""));
    cancel.classList.add("hidden");
    document.getElementById("pending-back").classList.remove("hidden");
  };

  const events = new EventSource(page.dataset.progressUrl);
  events.onmessage = (received) => {
    const event = JSON.parse(received.data);
    if (event.progress !== undefined) {
      progress.setAttribute("aria-valuenow", event.progress);
      bar.style.width = `${event.progress}%`;
    }
    if (event.failed) {
      events.close();
      fail(textOf(event));
    } else if (event.ready) {
      events.close();
      record("Ready: JupyterLab opens");
      // The hub answers this address with the running session now.
      window.location.reload();
    } else {
      record(textOf(event));
    }
  };

  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    status.textContent = "Cancelling…";
    const jhdata = window.jhdata;
    const url = `${jhdata.base_url}api/users/${encodeURIComponent(jhdata.user)}/server`;
    const answer = await fetch(url, { method: "DELETE", headers: { "X-XSRFToken": jhdata.xsrf_token } }).catch(() => null);
    if (answer?.ok) {
      events.close();
      window.location.assign(page.dataset.homeUrl);
      return;
    }
    cancel.disabled = false;
    status.textContent = "The start could not be cancelled; try again in a moment.";
  });
})();

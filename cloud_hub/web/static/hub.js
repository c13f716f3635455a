// All that pages do by themselves; without it they are the same pages, less live.
(() => {
  "use strict";
  const dialog = document.getElementById("dialog");

  // A link that asks before something is done opens as a dialog.
  document.addEventListener("click", async (event) => {
    const close = event.target.closest("#dialog [data-close]");
    if (close) {
      event.preventDefault();
      dialog.close();
      return;
    }
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const question = page.getElementById("ask");
      if (!question || answer.redirected) throw new Error("no question");
      dialog.replaceChildren(document.adoptNode(question));
      dialog.showModal();
      dialog.querySelector("input:not([type=hidden]), textarea, select, button")?.focus();
    } catch {
      location.assign(link.href);
    }
  });

  // One press of a button is one request.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
    for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // A field that filters acts when it is changed.
  document.addEventListener("change", (event) => {
    if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
  });

  // On a narrow screen a row of a table is a block, and each cell says what column it is of.
  const label = () => {
    for (const table of document.querySelectorAll("main table")) {
      const head = table.tHead?.rows[0];
      if (!head || head.cells.length < 3) continue;
      const names = [...head.cells].map((cell) => (cell.querySelector(".hidden") ? "" : cell.textContent.trim()));
      for (const body of table.tBodies) {
        for (const row of body.rows) {
          [...row.cells].forEach((cell, i) => {
            if (cell.tagName !== "TD" || row.cells.length !== names.length) return;
            if (cell.textContent.trim() === "–") cell.dataset.label = "";
            else if (names[i]) cell.dataset.label = names[i];
          });
        }
      }
      table.classList.add("labelled");
    }
  };
  label();
  document.addEventListener("htmx:afterSwap", label);

  const away = document.getElementById("away");
  const show = (gone) => { if (away) away.hidden = !gone; };
  document.addEventListener("htmx:beforeRequest", (event) => {
    // Nobody looks, or somebody reads a question: what is behind it stays as it is.
    if (document.hidden || dialog.open) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => show(!event.detail.successful));
  document.addEventListener("htmx:sendError", () => show(true));

  // What somebody has opened or typed stays when the page around it is new.
  if (window.Idiomorph) {
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
      !(name === "open" && node.tagName === "DETAILS") && name !== "data-label" &&
      !(name === "class" && node.classList.contains("labelled"));
    Idiomorph.defaults.ignoreActiveValue = true;
  }
})();

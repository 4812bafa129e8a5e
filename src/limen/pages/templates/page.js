"use strict";
(() => {
  // Without this script every dot still has its <title>; with it, the same words show at once, also for the keyboard.
  const tip = document.getElementById("tip");
  const words = new WeakMap();
  let here = null;
  const told = (dot) => {
    if (!words.has(dot)) {
      const title = dot.querySelector("title");
      const command = dot.closest(".plot").dataset.command;
      words.set(dot, title.textContent + (command ? " · made by: " + command : ""));
      title.remove();
    }
    return words.get(dot);
  };
  const hide = () => {
    if (here) here.classList.remove("here");
    here = null;
    tip.hidden = true;
  };
  const show = (dot) => {
    hide();
    here = dot;
    dot.classList.add("here");
    tip.textContent = told(dot);
    tip.hidden = false;
    place(dot);
  };
  const place = (dot) => {
    const box = dot.getBoundingClientRect();
    const left = Math.max(8, Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, innerWidth - tip.offsetWidth - 8));
    const above = box.top - tip.offsetHeight - 10;
    tip.style.left = left + "px";
    tip.style.top = (above > 4 ? above : box.bottom + 10) + "px";
  };
  const visible = (plot) => [...plot.querySelectorAll(".dot")].filter((dot) => dot.getBoundingClientRect().width > 0);
  for (const plot of document.querySelectorAll(".plot")) {
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", plot.dataset.name + ". Arrow keys walk through the dots.");
    plot.addEventListener("pointerover", (event) => {
      const dot = event.target.closest(".dot");
      if (dot) show(dot); else if (document.activeElement !== plot) hide();
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const dots = visible(plot);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!dots.length || !(step || event.key === "Home" || event.key === "End")) return;
      event.preventDefault();
      const at = dots.indexOf(here);
      const next = event.key === "Home" ? 0 : event.key === "End" ? dots.length - 1 : at < 0 ? 0 : (at + step + dots.length) % dots.length;
      show(dots[next]);
    });
  }
  // focus may scroll the page after a key was pressed: the words follow their dot instead of vanishing
  addEventListener("scroll", () => { if (here) place(here); }, { passive: true });
})();

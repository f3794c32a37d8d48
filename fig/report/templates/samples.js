// A press on a sample enlarges it; arrow keys go through the samples, Escape or another press closes.
const samples = [...document.querySelectorAll(".samples img")];
const viewer = document.createElement("dialog");
let shown = 0;

function show(at) {
  shown = (at + samples.length) % samples.length;
  const caption = Object.assign(document.createElement("p"), { textContent: samples[shown].alt });
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
  viewer.replaceChildren(samples[shown].cloneNode(), caption, close);
  viewer.setAttribute("aria-label", samples[shown].alt);
  if (!viewer.open) viewer.showModal();
  close.focus();
}

viewer.addEventListener("click", () => viewer.close());
viewer.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) show(shown + step);
});
document.body.append(viewer);
samples.forEach((image, at) => {
  const button = Object.assign(document.createElement("button"), { type: "button", title: "Enlarge" });
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => show(at));
});

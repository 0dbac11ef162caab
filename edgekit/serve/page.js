"use strict";

const TOP = 5;
const FRAME_WIDTH = 640; // of a webcam's pictures, in pixels
const PAUSE = 66; // at least so many milliseconds from one of them to the next

const $ = id => document.getElementById(id);
const touch = matchMedia("(pointer: coarse)").matches;
let models = [];
let limit = Infinity;
let stream = null;
let current = null; // the file that is shown
let shownUrl = null;
let turn = 0; // counts what is shown; what is said about something earlier comes too late
let token = sessionStorage.getItem("edgekit-token") || "";

class Trouble extends Error {}

async function ask(path, options = {}) {
  const headers = token ? {Authorization: `Bearer ${token}`} : {};
  let response;
  try {
    response = await fetch(path, {...options, headers});
  } catch {
    throw new Trouble("The server cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) lock();
  const wait = response.status === 429 ? Number(response.headers.get("Retry-After")) || 1 : 0;
  const trouble = new Trouble([answer.error || `The server answers ${response.status}.`, answer.hint].filter(Boolean).join(" "));
  throw Object.assign(trouble, {wait});
}

function lock() {
  token = "";
  sessionStorage.removeItem("edgekit-token");
  stopCamera();
  tell();
  $("gate").hidden = false;
  $("token").focus();
}

function tell() {
  $("answer").classList.add("told");
}

function complain(error) {
  tell();
  if (!(error instanceof Trouble)) console.error(error);
  $("trouble").textContent = error instanceof Trouble ? error.message : "The page itself failed.";
  $("trouble").hidden = false;
}

async function start() {
  $("shoot").hidden = !touch;
  if (touch) $("invitation").textContent = "Take a picture, or choose one";
  const camera = Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  $("live").hidden = !camera;
  $("insecure").hidden = isSecureContext;
  try {
    const found = await ask("models");
    models = found.models;
    limit = found.limits.body_bytes;
  } catch (error) {
    if ($("gate").hidden) complain(error);
    return;
  }
  $("model").replaceChildren(...models.map(model => new Option(model.name, model.name)));
  $("choice").hidden = models.length < 2;
  describe();
}

function describe() {
  const model = models.find(each => each.name === $("model").value);
  const name = models.length < 2 ? `${model.name} · ` : "";
  const verdict = {pass: " · validated", fail: " · failed validation", stale: " · changed since validation"}[model.verdict] || "";
  $("facts").textContent =
    `${name}${model.labels.length} labels · ${model.input.width}×${model.input.height} pixels · ${model.scheme === "none" ? "float32" : model.scheme}${verdict}`;
}

async function classify(image) {
  if (image.size > limit) throw new Trouble(`The image is larger than ${Math.floor(limit / 1048576)} MB.`);
  const begin = performance.now();
  const mine = turn;
  const query = new URLSearchParams({top: TOP});
  if (models.length > 1) query.set("model", $("model").value);
  const answer = await ask(`classify?${query}`, {method: "POST", body: image});
  if (turn === mine) show(answer, performance.now() - begin);
}

function show(answer, all) {
  tell();
  $("trouble").hidden = true;
  $("unsure").hidden = answer.sure;
  $("answer").classList.toggle("unsure", !answer.sure);
  const rows = $("labels");
  while (rows.children.length > answer.predictions.length) rows.lastChild.remove();
  answer.predictions.forEach((prediction, index) => {
    const row = rows.children[index] || rows.appendChild(newRow());
    const [label, score, bar] = row.children;
    label.textContent = label.title = prediction.label;
    score.textContent = prediction.score >= 0.9995 ? "100 %" : `${(100 * prediction.score).toFixed(1)} %`;
    bar.value = prediction.score;
  });
  const {queue, prepare, inference} = answer.milliseconds;
  const waited = queue >= 1 ? ` · waiting ${queue.toFixed(0)} ms` : "";
  $("latency").textContent =
    `${all.toFixed(0)} ms round trip${waited} · preprocessing ${prepare.toFixed(1)} ms · inference ${inference.toFixed(1)} ms`;
}

function newRow() {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  bar.max = 1;
  row.append(document.createElement("bdi"), document.createElement("output"), bar);
  return row;
}

function clear() {
  turn++;
  $("labels").replaceChildren();
  $("latency").textContent = "";
  $("unsure").hidden = $("trouble").hidden = true;
}

async function showFile(file) {
  if (!file) return;
  stopCamera();
  clear();
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(file);
  const image = $("image");
  image.onload = () => $("drop").classList.toggle("small", image.naturalWidth < 100 && image.naturalHeight < 100);
  image.onerror = () => { image.hidden = true; $("drop").classList.remove("filled"); $("invitation").hidden = false; };
  image.src = shownUrl;
  image.hidden = false;
  $("invitation").hidden = true;
  $("drop").classList.add("filled");
  current = file;
  const mine = turn;
  await classify(file).catch(error => { if (turn === mine) complain(error); });
}

async function startCamera() {
  const mine = turn;
  let opened;
  $("live").disabled = true; // the user may be asked, and a second camera could not be stopped
  try {
    opened = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment", width: {ideal: 1280}}});
  } catch (error) {
    if (turn !== mine) return;
    const said = {NotAllowedError: "The browser does not allow the page to use the camera.", NotFoundError: "There is no camera."};
    complain(new Trouble(said[error.name] || "The camera cannot be used."));
    return;
  } finally {
    $("live").disabled = false;
  }
  if (turn !== mine) return release(opened);
  stream = opened;
  clear();
  current = null;
  const video = $("video");
  $("image").hidden = $("invitation").hidden = true;
  $("drop").classList.remove("small");
  $("drop").classList.add("filled");
  video.srcObject = stream;
  video.hidden = false;
  $("live").textContent = "Stop";
  $("live").setAttribute("aria-pressed", "true");
  stream.getVideoTracks()[0].addEventListener("ended", stopCamera);
  await video.play().catch(() => {});
  await follow(video, stream);
}

// One picture at a time: the next is taken when the answer is there, so a slow server is never flooded.
async function follow(video, mine) {
  const canvas = document.createElement("canvas");
  while (stream === mine) {
    const begin = performance.now();
    let wait = 0;
    if (video.videoWidth && !document.hidden) {
      canvas.width = Math.min(FRAME_WIDTH, video.videoWidth);
      canvas.height = Math.round(canvas.width * video.videoHeight / video.videoWidth);
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      const picture = await new Promise(done => canvas.toBlob(done, "image/jpeg", 0.9));
      try {
        if (stream === mine) await classify(picture);
      } catch (error) {
        if (stream !== mine) return;
        complain(error);
        wait = 1000 * (error.wait || 1);
      }
    }
    await new Promise(done => setTimeout(done, Math.max(PAUSE - (performance.now() - begin), wait, 0)));
  }
}

function release(camera) {
  for (const track of camera.getTracks()) track.stop();
}

function stopCamera() {
  if (!stream) return;
  turn++;
  release(stream);
  stream = null;
  $("video").srcObject = null;
  $("video").hidden = true;
  $("invitation").hidden = false;
  $("drop").classList.remove("filled");
  $("live").textContent = "Webcam";
  $("live").setAttribute("aria-pressed", "false");
}

const imageIn = data => [...data.files].find(file => file.type.startsWith("image/")) || data.files[0];

$("pick").onclick = () => $("file").click();
$("shoot").onclick = () => $("camera").click();
$("live").onclick = () => stream ? stopCamera() : startCamera();
for (const input of [$("file"), $("camera")]) {
  input.onchange = () => { showFile(input.files[0]); input.value = ""; };
}
$("model").onchange = () => { describe(); if (current) showFile(current); };
$("gate").onsubmit = event => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("edgekit-token", token);
  $("token").value = "";
  $("gate").hidden = $("trouble").hidden = true;
  start();
};
addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  showFile(imageIn(event.dataTransfer));
});
addEventListener("paste", event => showFile(imageIn(event.clipboardData)));
start();

"use strict";
(() => {
  const SHOWN = 5, MOST = 20, NAMES = 24, SMALLER = 1600, LIVE_PAUSE = 120, LIVE_SIDE = 640, MAP = 168;
  const at = (id) => document.getElementById(id);
  const element = (tag, className, ...content) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };
  const show = (id, isShown = true) => { at(id).hidden = !isShown; };

  const models = new Map();   // name to its versions, the newest first
  const described = new Map();
  let key = "";               // kept as long as the page is open
  let facts = null;           // of the chosen model
  let wanted = {};            // how many answers to ask for
  let photo = null;           // {blob, name}
  let answered = null;        // the last answer
  let isAllShown = false;
  let explained = null;       // the class whose map is shown
  let asking = new AbortController();
  let stream = null;
  let resend = () => {};

  // ---------------------------------------------------------------- the server

  class Refused extends Error {
    constructor(status, message) { super(message); this.status = status; }
  }

  const ask = async (path, options = {}) => {
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "The server does not respond. Is it still running?");
    }
    const content = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response.status, content.error || `The server returned status ${response.status}.`);
    return content;
  };

  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  const fail = (error, again) => {
    if (error.name === "AbortError") return;
    at("answer").classList.remove("busy");
    at("status").textContent = "";
    if (error.status === 401) {
      show("error", key !== "");
      at("error-text").textContent = "The server does not accept this key.";
      show("again", false);
      show("shrink", false);
      show("waiting", false);
      show("key-form");
      at("key").focus();
      resend = again;
      return;
    }
    at("error-text").textContent = sentence(error.message);
    show("error");
    show("again", [0, 404, 500, 503, 504].includes(error.status));
    show("shrink", error.status === 413 && photo !== null && !photo.isSmaller);
    // What is not there any more has been replaced: the list of models is out of date.
    resend = error.status === 404 ? start : again;
  };

  const calm = () => { show("error", false); show("key-form", false); };

  // ---------------------------------------------------------------- models

  const start = async () => {
    calm();
    const before = at("model").value;
    models.clear();
    try {
      const entries = await ask("/v2/repository/index", { method: "POST", body: '{"ready": true}' });
      for (const each of entries) models.set(each.name, [each.version, ...(models.get(each.name) || [])]);
      if (!models.size) throw new Refused(503, "No model is ready yet.");
      at("model").replaceChildren(...[...models.keys()].map((name) => new Option(name, name)));
      if (models.has(before)) at("model").value = before;
      at("model").disabled = models.size < 2;
      await choose();
    } catch (error) {
      fail(error, start);
    }
  };

  const choose = async () => {
    const versions = models.get(at("model").value);
    at("version").replaceChildren(...versions.map((each) => new Option(each, each)));
    show("versions", versions.length > 1);
    await describe();
  };

  const describe = async () => {
    const name = at("model").value, version = at("version").value;
    const path = `/v2/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;
    try {
      if (!described.has(path)) described.set(path, await ask(path));
    } catch (error) {
      fail(error, describe);
      return;
    }
    if (name !== at("model").value || version !== at("version").value) return;
    const { parameters, outputs } = described.get(path);
    facts = parameters;
    // Of a hundred doubtful boxes nobody wants to see more than those that count as an answer.
    wanted = outputs.some((each) => each.name === "xyxy") ? {} : { top: MOST };
    const count = facts.classes.length;
    at("facts").textContent = [
      facts.network, `${count.toLocaleString("en")} ${count === 1 ? "class" : "classes"}`,
      `${facts.engine} ${facts.precision}`, `version ${version}`, facts.digest.slice(0, 12),
    ].join(" · ");
    at("knows").textContent = count > NAMES ? `Some of the ${count.toLocaleString("en")} classes:` : "The classes:";
    at("classes").replaceChildren(...facts.classes.slice(0, NAMES).map((each) => element("li", "", each)));
    tell();
    if (photo) classify();
  };

  // ---------------------------------------------------------------- a photo

  const isLive = () => stream !== null;

  const take = (blob, name) => {
    stopCamera();
    photo = { blob, name };
    explained = null;
    isAllShown = false;
    const image = at("photo");
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.alt = `The photo ${name}`;
    show("photo");
    show("unseen", false);
    show("shown");
    show("empty", false);
    at("name").textContent = name;
    at("name").title = name;
    at("choose").classList.remove("primary");
    clearMap();
    classify();
  };

  at("photo").addEventListener("error", () => { show("photo", false); show("unseen"); });

  const send = (path, query, blob) => {
    const words = new URLSearchParams({ version: at("version").value, ...query });
    const model = encodeURIComponent(at("model").value);
    return ask(`/v1/${path}/${model}?${words}`, { method: "POST", body: blob, signal: asking.signal });
  };

  const classify = async () => {
    if (!facts) return;
    asking.abort();
    asking = new AbortController();
    const mine = asking;
    at("answer").classList.add("busy");
    at("status").textContent = "Waiting for the server.";
    clearMap();
    try {
      const began = performance.now();
      const found = await send("classify", wanted, photo.blob);
      calm();
      answer(found, performance.now() - began);
      if (explained !== null) explain(explained);
    } catch (error) {
      if (error.name !== "AbortError" && mine === asking) {
        answered = null;
        show("found", false);
        show("waiting", false);
        tell();
      }
      fail(error, classify);
    }
  };

  const answer = (found, taken) => {
    answered = found;
    at("answer").classList.remove("busy");
    show("waiting", false);
    show("found");
    draw();
    show("strange", found.is_strange === true);
    const times = [["Queue", found.ms.queue], ["Decoder", found.ms.decode], ["Network", found.ms.network], ["Total", taken]];
    at("times").replaceChildren(...times.map(([name, value]) =>
      element("div", "", element("dt", "", name), element("dd", "", milliseconds(value)))));
    show("explaining", !isLive() && views[0] === view());
    tell();
    const first = found.predictions[0];
    if (!isLive()) at("status").textContent = first && "probability" in first ? `${first.label}, ${percent(first.probability)}.${found.is_strange ? ` ${at("strange").textContent}` : ""}` : "Answered.";
  };

  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  const percent = (value) => {
    const digits = value > 0.9995 && value < 1 ? 2 : 1;
    return `${(100 * value).toFixed(digits)} %`;
  };

  // ---------------------------------------------------------------- views, by what the rows hold

  const bars = (rows) => {
    const thresholds = new Map((facts.thresholds || []).map((each, place) => [facts.classes[place], each]));
    const reaches = (row) => thresholds.has(row.label) && row.probability >= thresholds.get(row.label);
    const chosen = rows.filter((row, place) => place < SHOWN || reaches(row));
    const list = element("ul", "rows");
    (isAllShown ? rows : chosen).forEach((row, place) => {
      const made = element(isLive() ? "div" : "button", "row");
      if (!isLive()) {
        made.type = "button";
        made.title = `Show what mattered for ${row.label}`;
        made.setAttribute("aria-pressed", String(explained === row.label));
        made.addEventListener("click", () => (explained === row.label ? hideMap() : explain(row.label)));
      }
      const label = element("span", "label", row.label);
      made.classList.toggle("top", thresholds.size ? reaches(row) : place === 0);
      if (reaches(row)) {
        made.classList.add("reached");
        label.append(" ", element("small", "", "✓"));
        label.lastChild.setAttribute("role", "img");
        label.lastChild.setAttribute("aria-label", "reaches its threshold");
      }
      const track = element("span", "track", element("span", "fill"));
      track.firstChild.style.setProperty("--part", row.probability);
      if (thresholds.has(row.label)) {
        const tick = element("span", "tick");
        tick.style.setProperty("--at", thresholds.get(row.label));
        track.append(tick);
      }
      made.append(label, element("span", "value", percent(row.probability)), track);
      list.append(element("li", "", made));
    });
    const parts = [list];
    if (thresholds.size) {
      const count = rows.filter(reaches).length;
      const said = count ? `${count} of ${facts.classes.length} labels reach their threshold ` : "No label reaches its threshold ";
      parts.unshift(element("p", "note", said, "(", element("span", "mark"), ")."));
    }
    at("more").textContent = isAllShown ? "Show fewer" : `Show ${rows.length}`;
    show("more", rows.length > chosen.length);
    return parts;
  };

  const boxes = (rows) => {
    show("more", false);
    const list = element("ul", "rows");
    rows.forEach((row, place) => {
      const dot = element("span", "dot class");
      dot.style.setProperty("--of-class", colourOf(row.label));
      const track = element("span", "track", element("span", "fill"));
      track.firstChild.style.setProperty("--part", row.confidence);
      const made = element("div", "row", element("span", "label", dot, row.label), element("span", "value", percent(row.confidence)), track);
      made.addEventListener("pointerenter", () => mark(place));
      made.addEventListener("pointerleave", () => mark(-1));
      list.append(element("li", "", made));
    });
    return [list];
  };

  const colourOf = (label) => `hsl(${Math.round(facts.classes.indexOf(label) * 137.5 + 205) % 360} 90% 60%)`;

  const mark = (place) => {
    at("boxes").classList.toggle("marks", place >= 0);
    [...at("boxes").children].forEach((each, at) => each.classList.toggle("marked", at === place));
  };

  // Height and width of what was sent, whose pixels boxes are in.
  const sizeOfSent = () => {
    const { naturalWidth, naturalHeight } = at("photo"), { videoWidth, videoHeight } = at("video");
    if (!isLive()) return [naturalWidth, naturalHeight];
    const scale = Math.min(1, LIVE_SIDE / Math.max(videoWidth, videoHeight, 1));
    return [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
  };

  const paintBoxes = () => {
    const drawn = (tag, attributes, ...content) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.append(...content);
      return made;
    };
    const [width, height] = sizeOfSent();
    const rows = answered && view().draw === boxes && width ? answered.predictions : [];
    const size = Math.max(width, height) / 32;
    at("boxes").setAttribute("viewBox", `0 0 ${width || 1} ${height || 1}`);
    at("boxes").replaceChildren(...rows.map((row) => drawn("g", {},
      drawn("rect", { x: row.x1, y: row.y1, width: row.x2 - row.x1, height: row.y2 - row.y1, stroke: colourOf(row.label) }),
      drawn("text", { x: row.x1 + size / 4, y: Math.max(row.y1, 0) + size, "font-size": size, fill: colourOf(row.label) }, row.label))));
    at("boxes").toggleAttribute("hidden", !rows.length);
  };
  at("photo").addEventListener("load", paintBoxes);

  const table = (rows) => {
    show("more", false);
    if (!rows.length) return [element("p", "muted", "Nothing was found.")];
    const names = Object.keys(rows[0]);
    const cells = (tag, values) => element("tr", "", ...values.map((each) => element(tag, "", each)));
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    return [element("table", "", element("thead", "", cells("th", names)),
      element("tbody", "", ...rows.map((row) => cells("td", names.map((name) => text(row[name]))))))];
  };

  const views = [
    { fits: (rows) => rows.length > 0 && rows.every((row) => Object.keys(row).join() === "label,probability"), draw: bars },
    { fits: (rows) => rows.length > 0 && rows.every((row) => ["label", "confidence", "x1", "y1", "x2", "y2"].every((name) => name in row)), draw: boxes },
    { fits: () => true, draw: table },
  ];
  const view = () => views.find((each) => each.fits(answered.predictions));
  const draw = () => {
    const focused = document.activeElement?.closest(".row") ? [...document.querySelectorAll(".row")].indexOf(document.activeElement) : -1;
    at("view").replaceChildren(...view().draw(answered.predictions));
    paintBoxes();
    if (focused >= 0) document.querySelectorAll(".row")[focused]?.focus();
  };
  at("more").addEventListener("click", () => { isAllShown = !isAllShown; draw(); });

  // ---------------------------------------------------------------- the map

  const clearMap = () => {
    show("map", false);
    at("boxes").toggleAttribute("hidden", true);
    show("explained", false);
    at("frame").classList.remove("explained");
    at("explain").setAttribute("aria-pressed", "false");
  };

  const hideMap = () => { explained = null; clearMap(); draw(); };

  const explain = async (label) => {
    explained = label;
    draw();
    const text = at("explained");
    text.textContent = "Covering one part of the photo after another…";
    show("explained");
    at("explain").setAttribute("aria-pressed", "true");
    asking.abort();
    asking = new AbortController();
    try {
      const found = await send("explain", { class: label }, photo.blob);
      if (explained !== label) return;
      calm();
      paint(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      hideMap();
      fail(error, () => explain(label));
    }
  };

  const paint = (found) => {
    const rows = found.drops.length, columns = found.drops[0].length;
    const values = found.drops.flat();
    const most = Math.max(...values), least = Math.min(...values);
    const scale = Math.max(most, -least, 0.05);
    const canvas = at("map");
    canvas.width = canvas.height = MAP;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(MAP, MAP);
    // Gaussian weights of the places around each pixel.
    const weights = (count) => Array.from({ length: MAP }, (_, pixel) => {
      const place = (pixel + 0.5) / MAP * count - 0.5;
      const row = Array.from({ length: count }, (_, each) => Math.exp(-(((each - place) / 0.62) ** 2) / 2));
      const sum = row.reduce((one, other) => one + other);
      return row.map((each) => each / sum);
    });
    const down = weights(rows), along = weights(columns);
    for (let y = 0; y < MAP; y++) {
      const line = found.drops[0].map((_, column) => found.drops.reduce((sum, row, place) => sum + row[column] * down[y][place], 0));
      for (let x = 0; x < MAP; x++) {
        const value = line.reduce((sum, each, column) => sum + each * along[x][column], 0) / scale;
        const colour = value > 0 ? [240, 123, 29] : [47, 127, 224];
        picture.data.set([...colour, 215 * Math.min(1, Math.abs(value)) ** 1.2], 4 * (y * MAP + x));
      }
    }
    context.putImageData(picture, 0, 0);
    const [left, top, right, bottom] = found.region.map((each) => 100 * each);
    Object.assign(canvas.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
    show("map");
    at("frame").classList.add("explained");
    at("frame").scrollIntoView({ block: "nearest" });
    const chance = (odds) => percent(1 / (1 + Math.exp(-odds)));
    const text = at("explained");
    if (most < 0.05) {
      text.textContent = `No single part of the photo matters much for ${found.label}.`;
      canvas.setAttribute("aria-label", text.textContent);
      return;
    }
    const parts = [element("span", "dot more"), ` Covering this part lowers ${found.label}, from ${chance(found.log_odds)} to ${chance(found.log_odds - most)} at most.`];
    if (least < -0.2 * most) parts.push(" ", element("span", "dot less"), " Covering this part raises it.");
    if (right - left < 99 || bottom - top < 99) parts.push(" The network sees what is inside the dashed line.");
    text.replaceChildren(...parts);
    canvas.setAttribute("aria-label", `Map of what mattered for ${found.label}.`);
  };

  at("explain").addEventListener("click", () => {
    if (explained !== null) hideMap();
    else explain(answered.predictions[0].label);
  });

  // ---------------------------------------------------------------- the camera

  const frame = (source, width, height, most) => {
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, most / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
    return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/jpeg", 0.92));
  };
  const frameOfCamera = (most) => frame(at("video"), at("video").videoWidth, at("video").videoHeight, most);

  const startCamera = async () => {
    calm();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    } catch (error) {
      const why = error.name === "NotAllowedError" ? "the browser has no permission to use it" : "no camera was found";
      fail(new Refused(1, `The camera cannot be used: ${why}.`), startCamera);
      return;
    }
    asking.abort();
    photo = null;
    explained = null;
    clearMap();
    const video = at("video");
    video.srcObject = stream;
    await video.play();
    for (const [id, isShown] of [["photo", false], ["unseen", false], ["empty", false], ["video", true], ["shown", true], ["camera", false], ["take", true], ["stop", true]]) show(id, isShown);
    at("name").textContent = "The camera";
    at("choose").classList.remove("primary");
    at("take").focus();
    live(stream);
  };

  const live = async (mine) => {
    asking = new AbortController();
    while (stream === mine) {
      try {
        if (!document.hidden && facts) {
          const blob = await frameOfCamera(LIVE_SIDE);
          const began = performance.now();
          const found = await send("classify", wanted, blob);
          if (stream !== mine) return;
          calm();
          answer(found, performance.now() - began);
        }
      } catch (error) {
        if (stream !== mine) return;
        fail(error, () => {});
        if (error.status !== 503) { stopCamera(); reset(); return; }
      }
      await new Promise((done) => setTimeout(done, LIVE_PAUSE));
    }
  };

  const stopCamera = () => {
    if (!stream) return;
    for (const each of stream.getTracks()) each.stop();
    stream = null;
    asking.abort();
    at("video").srcObject = null;
    for (const id of ["video", "take", "stop"]) show(id, false);
    show("camera");
  };

  const reset = () => {
    photo = null;
    answered = null;
    show("shown", false);
    show("found", false);
    show("empty");
    at("answer").classList.remove("busy");
    show("waiting", at("error").hidden);
    at("choose").classList.add("primary");
  };

  at("camera").addEventListener("click", startCamera);
  at("stop").addEventListener("click", () => { stopCamera(); reset(); at("camera").focus(); });
  at("take").addEventListener("click", async () => {
    const blob = await frameOfCamera(4096);
    take(blob, "camera.jpg");
    at("camera").focus();
  });
  show("camera", Boolean(navigator.mediaDevices?.getUserMedia));

  // ---------------------------------------------------------------- what the user does

  const first = (files) => {
    const file = [...files].find((each) => each.type.startsWith("image/")) || files[0];
    if (file) take(file, file.name || "pasted photo");
  };
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => { first(at("file").files); at("file").value = ""; });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) { event.preventDefault(); first(event.clipboardData.files); }
  });
  let depth = 0;
  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { event.preventDefault(); depth++; show("veil"); } });
  addEventListener("dragleave", (event) => { if (hasFiles(event) && --depth <= 0) { depth = 0; show("veil", false); } });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    depth = 0;
    show("veil", false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    first(event.dataTransfer.files);
  });

  at("model").addEventListener("change", choose);
  at("version").addEventListener("change", describe);
  at("again").addEventListener("click", () => { calm(); resend(); });
  at("shrink").addEventListener("click", async () => {
    try {
      const picture = await createImageBitmap(photo.blob);
      photo = { ...photo, blob: await frame(picture, picture.width, picture.height, SMALLER), isSmaller: true };
    } catch {
      fail(new Refused(1, "This browser cannot read the photo, so the page cannot shrink it."), () => {});
      return;
    }
    classify();
  });
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = at("key").value.trim();
    calm();
    show("waiting");
    resend();
  });

  const tell = () => {
    const path = models.size > 1 ? `/${encodeURIComponent(at("model").value)}` : "";
    const header = key ? ' -H "Authorization: Bearer $KEY"' : "";
    at("command").textContent = `curl --data-binary @photo.jpg${header} ${location.origin}/v1/classify${path}`;
    show("json", answered !== null);
    if (answered) at("record").textContent = JSON.stringify(answered, null, 2);
  };
  at("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(at("command").textContent);
    at("copy").textContent = "Copied";
    setTimeout(() => { at("copy").textContent = "Copy"; }, 1500);
  });
  if (!navigator.clipboard) show("copy", false);

  start();
})();

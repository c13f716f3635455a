// Search runs in a worker, which a browser starts only for pages from a server. Where the site is
// opened as files, this class takes the worker's place: the same script, in a hidden frame.
// The theme asks for the name IFrameWorker.
"use strict";

class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.waiting = [];
    const address = new URL(url, document.baseURI).href;
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.inside = frame.contentWindow;
    this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    this.inside.importScripts = (...more) =>
      more.reduce((before, each) => before.then(() => this.load(new URL(each, address).href)), Promise.resolve());
    this.load(address).then(() => {
      this.ready = true;
      this.waiting.splice(0).forEach((data) => this.postMessage(data));
    });
  }

  load(address) {
    return new Promise((done, failed) => {
      const script = this.inside.document.createElement("script");
      script.src = address;
      script.onload = () => done();
      script.onerror = failed;
      this.inside.document.body.append(script);
    });
  }

  postMessage(data) {
    if (this.ready) this.inside.dispatchEvent(new MessageEvent("message", { data }));
    else this.waiting.push(data);
  }

  terminate() {
    this.inside.frameElement.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}

// The only player of the page. It plays tracks: {address, fallback, start, duration, show}.
// `show` is called with {playing, time, duration}, and with null when another track takes over.

export class Player {
  constructor(element, fail) {
    this.element = element;
    this.fail = fail;
    this.track = null;
    for (const event of ['play', 'pause', 'seeked', 'timeupdate', 'loadedmetadata']) {
      element.addEventListener(event, () => this.notify());
    }
    element.addEventListener('play', () => this.follow());
    element.addEventListener('error', () => this.recover());
  }

  get playing() {
    return this.track !== null && !this.element.paused;
  }

  toggle(track) {
    if (this.track !== track) this.load(track, track.start);
    else if (this.element.ended) this.seek(track, track.start);
    if (this.element.paused) this.play();
    else this.element.pause();
  }

  seek(track, time) {
    const at = Math.max(0, Math.min(time, track.duration));
    if (this.track === track) this.element.currentTime = at;
    else this.load(track, at);
    if (this.element.paused) this.play();
  }

  skip(seconds) {
    if (this.track) this.element.currentTime = Math.max(0, this.element.currentTime + seconds);
  }

  pause() {
    this.element.pause();
  }

  // Drop the sound, so that no more of it is loaded.
  clear() {
    if (!this.track) return;
    this.track.show(null);
    this.track = null;
    this.element.pause();
    this.element.removeAttribute('src');
    this.element.load();
  }

  load(track, time, address = track.address) {
    if (this.track && this.track !== track) this.track.show(null);
    this.track = track;
    this.address = address;
    this.element.src = address;
    this.element.currentTime = time; // set before loading: where to start
  }

  play() {
    this.element.play().catch((error) => {
      // Otherwise another track has taken over, or `recover` reports the error.
      if (!['AbortError', 'NotSupportedError'].includes(error.name)) this.fail(error.message);
    });
  }

  // The server decodes what this browser cannot play.
  recover() {
    const { track } = this;
    if (!track) return;
    if (track.fallback && this.address !== track.fallback) {
      this.load(track, this.element.currentTime || track.start, track.fallback);
      this.play();
      return;
    }
    this.clear();
    this.fail('This sound cannot be played.', track);
  }

  notify() {
    if (!this.track) return;
    const { currentTime, paused } = this.element;
    this.track.show({ playing: !paused, time: currentTime, duration: this.track.duration });
  }

  follow() {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return; // `timeupdate` has to do
    const step = () => {
      if (!this.playing) return;
      this.notify();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
}

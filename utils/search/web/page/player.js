// The only player of the page. It plays tracks: {name, address, fallback, start, duration, show}.
// `show` is called with {playing, time, duration}, and with null when another track takes over.

import { wasBusy } from './api.js';

export class Player {
  // `failed` is called with an error and the track, `heard` when a track is being played.
  constructor(element, { failed, heard }) {
    this.element = element;
    this.failed = failed;
    this.track = null;
    for (const event of ['play', 'pause', 'seeked', 'timeupdate', 'loadedmetadata']) {
      element.addEventListener(event, () => this.notify());
    }
    element.addEventListener('play', () => this.follow());
    element.addEventListener('playing', heard);
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
    this.wanted = time;
    this.element.src = address;
    this.element.currentTime = time; // set before loading: where to start
  }

  play() {
    const { track } = this;
    this.element.play().catch((error) => {
      // Otherwise another track has taken over, or `recover` reports the error.
      if (!['AbortError', 'NotSupportedError'].includes(error.name)) this.failed(error, track);
    });
  }

  // A sound did not load. The server may be busy; else it decodes what this browser cannot play.
  async recover() {
    const { track, address } = this;
    if (!track) return;
    const time = this.element.currentTime || this.wanted;
    const left = () => this.track !== track || this.address !== address;
    try {
      const again = address.startsWith('/') && (await wasBusy(address));
      if (left()) return;
      const next = again ? address : track.fallback;
      if (!next || (next === address && !again)) throw new Error('This browser cannot play it.');
      const { paused } = this.element;
      this.load(track, time, next);
      if (!paused) this.play();
    } catch (error) {
      if (left()) return;
      this.clear();
      this.failed(error, track);
    }
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

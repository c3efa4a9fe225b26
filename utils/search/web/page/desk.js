// What is done with sounds that were found: ticked, added to collections, exported, their paths
// copied.

import { ask, download, send } from './api.js';

const byId = (id) => document.getElementById(id);
const counted = (count, what = 'item') => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;

export class Desk {
  // `opened` is called with the number of a collection to show, or with undefined; `changed` when
  // the collection that is shown has changed; `failed` with errors.
  constructor({ opened, changed, failed }) {
    Object.assign(this, { opened, changed, failed });
    this.ticked = new Map(); // sound, or item of a collection => pick
    this.collection = null; // that is shown
    this.known = []; // collections
    this.bar = byId('desk');
    this.bar.addEventListener('submit', (event) => {
      event.preventDefault();
      this.try(() => this.add(byId('add-to').value));
    });
    byId('export').addEventListener('click', () => this.try(() => this.export()));
    byId('untick').addEventListener('click', () => this.untick());
    byId('take-out').addEventListener('click', () => this.takeOut([...this.ticked.values()]));
    byId('open-collections').addEventListener('click', () => this.openCollections());
    byId('collection').querySelector('.drop').addEventListener('click', () => this.opened());
  }

  async try(action) {
    try {
      await action();
    } catch (error) {
      this.failed(error);
    }
  }

  // Prepare the row of a hit, or of an item of the collection that is shown.
  take(hit, library, row) {
    const key = hit.item === undefined ? `sound ${hit.sound}` : `item ${hit.item}`;
    const [path] = hit.paths;
    row.pick = { key, library, sound: hit.sound, item: hit.item, score: hit.score, label: hit.label ?? this.label };
    if (hit.item !== undefined && hit.is_part) row.pick.moment = { start: hit.start, end: hit.end };
    const box = row.querySelector('.tick');
    box.checked = this.ticked.has(key);
    box.setAttribute('aria-label', `Tick ${path}`);
    box.addEventListener('change', () => {
      if (box.checked) this.ticked.set(key, row.pick);
      else this.ticked.delete(key);
      this.write();
      this.draw();
    });
    const copy = row.querySelector('.copy-path');
    copy.hidden = !this.place || Boolean(hit.missing);
    copy.addEventListener('click', () => this.try(() => this.copy(`${this.place}/${path}`)));
  }

  async copy(path) {
    await navigator.clipboard.writeText(path);
    this.write(`Copied ${path}`);
  }

  // What is shown now: a text that was searched for, or a collection.
  show({ label = '', collection = null }) {
    this.label = label;
    if (this.collection?.collection !== collection?.collection) this.ticked.clear();
    this.collection = collection;
    byId('collection').hidden = !collection;
    byId('collection').querySelector('.name').textContent = collection ? collection.name : '';
    this.write();
    this.draw();
  }

  draw() {
    const { size } = this.ticked;
    const all = (!size && this.collection?.count) || 0;
    this.bar.hidden = !size && !all && !this.outcome;
    this.bar.querySelector('.count').textContent = all ? `All ${all.toLocaleString('en')}` : `${size.toLocaleString('en')} ticked`;
    for (const part of this.bar.querySelectorAll(':scope > :not(.outcome)')) part.hidden = !size && !all;
    for (const part of [this.bar.querySelector('.adding'), byId('untick')]) part.hidden = !size;
    byId('take-out').hidden = !(size && this.collection);
  }

  write(text = '') {
    this.outcome = text;
    this.bar.querySelector('.outcome').textContent = text;
    this.draw();
  }

  untick() {
    this.ticked.clear();
    for (const box of document.querySelectorAll('.hit .tick')) box.checked = false;
    this.write();
  }

  picks() {
    const whole = byId('whole').checked;
    const picks = [...this.ticked.values()].map(({ sound, label, score, moment }) => {
      const { start, end } = (!whole && moment) || {};
      return { sound, label, score, start, end };
    });
    return { library: this.ticked.values().next().value?.library, picks };
  }

  async add(text) {
    const name = text.trim();
    if (!name) return byId('add-to').focus();
    await this.load();
    const known = this.known.find((one) => one.name === name) || (await send('/api/v1/collections', 'POST', { name }));
    const { added, given } = await send(`/api/v1/collections/${known.collection}/items`, 'POST', this.picks());
    await this.load();
    this.leave();
    const there = added < given ? `; ${given - added} were there` : '';
    this.untick();
    this.write(`${counted(added)} added to ${known.name}${there}`);
    byId('add-to').value = '';
    if (this.collection?.collection === known.collection) this.changed();
  }

  async export() {
    const [format, fps] = byId('export-as').value.split(' ');
    const what = this.ticked.size ? this.picks() : { collection: this.collection.collection };
    const headers = await download('/api/v1/exports', { ...what, format, fps, whole: byId('whole').checked });
    this.leave();
    const left = Number(headers.get('X-Left-Out'));
    this.write(`${counted(Number(headers.get('X-Exported')))} exported${left ? `; ${left} missing, left out` : ''}`);
  }

  async takeOut(picks) {
    if (!this.collection) return;
    const items = picks.map(({ item }) => item);
    await this.try(async () => {
      const { removed } = await send(`/api/v1/collections/${this.collection.collection}/removals`, 'POST', { items });
      this.untick();
      await this.changed();
      await this.load();
      this.write(`${counted(removed)} removed from ${this.collection.name}`);
    });
  }

  focus(selector) {
    this.row = document.activeElement.closest('.hit');
    this.bar.querySelector(selector).focus();
  }

  // Go back to the row that the bar was entered from.
  leave() {
    if (this.bar.contains(document.activeElement)) this.row?.focus({ preventScroll: true });
  }

  async openCollections() {
    const panel = byId('collections');
    panel.hidden = !panel.hidden;
    byId('open-collections').setAttribute('aria-expanded', String(!panel.hidden));
    if (panel.hidden) return;
    await this.try(() => this.load());
    panel.querySelector('button')?.focus();
  }

  // Read the collections, and draw the list of them.
  async load() {
    this.known = (await ask('/api/v1/collections')).collections;
    byId('known-collections').replaceChildren(...this.known.map(({ name }) => new Option(name, name)));
    byId('collections').querySelector('.none').hidden = this.known.length > 0;
    byId('collections').querySelector('ul').replaceChildren(...this.known.map((one) => this.drawCollection(one)));
  }

  drawCollection({ collection, name, count }) {
    const item = document.createElement('li');
    const title = document.createElement('bdi');
    const number = document.createElement('span');
    title.textContent = name;
    number.textContent = counted(count);
    const open = button('', 'name', `Open ${name}`, () => this.opened(String(collection)));
    open.append(title);
    const rename = button('Rename', '', `Rename ${name}`, () => this.drawField(item, collection, name));
    const remove = button('Delete', '', `Delete ${name}`, () => {
      remove.replaceWith(sure);
      sure.focus();
    });
    const sure = button(`Really delete ${counted(count)}`, 'danger', `Really delete ${name}`, () => this.try(() => this.delete(collection)));
    sure.addEventListener('blur', () => sure.isConnected && sure.replaceWith(remove));
    item.dataset.collection = collection;
    item.append(open, number, rename, remove);
    return item;
  }

  // Read the collections again; the focus comes back to one of them.
  async reload(collection) {
    await this.load();
    byId('collections').querySelector(`[data-collection="${collection}"] .name`)?.focus();
  }

  drawField(item, collection, name) {
    const form = document.createElement('form');
    const field = document.createElement('input');
    field.value = name;
    field.maxLength = 200;
    field.setAttribute('aria-label', `New name of ${name}`);
    form.append(field, button('Rename', '', 'Rename', () => form.requestSubmit()), button('Cancel', '', 'Cancel', () => this.try(() => this.reload(collection))));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.try(() => this.rename(collection, field.value));
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.try(() => this.reload(collection));
    });
    item.replaceChildren(form);
    field.select();
  }

  async rename(collection, name) {
    await send(`/api/v1/collections/${collection}`, 'PATCH', { name });
    await this.reload(collection);
    if (this.collection?.collection === collection) this.changed();
  }

  async delete(collection) {
    await send(`/api/v1/collections/${collection}`, 'DELETE');
    await this.load();
    byId('open-collections').focus();
    if (this.collection?.collection === collection) this.opened();
  }
}

function button(text, kind, label, action) {
  const one = document.createElement('button');
  one.type = 'button';
  one.className = `quiet ${kind}`;
  one.textContent = text;
  one.setAttribute('aria-label', label);
  one.addEventListener('click', action);
  return one;
}

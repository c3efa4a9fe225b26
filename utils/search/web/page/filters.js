// Tag filters: those that are set, and the field that adds one of the 527 tags.

const CHOICES = ['> 0.1', '> 0.3', '> 0.5', '> 0.8', '< 0.5', '< 0.3', '< 0.1'];
const USUAL = '> 0.3';
const SHOWN = 12;

function words(condition) {
  const [sign, threshold] = condition.split(' ');
  return `${sign === '>' ? 'above' : 'below'} ${threshold}`;
}

export class Filters {
  // `changed` is called when the user has changed something.
  constructor({ list, field, options, changed }) {
    Object.assign(this, { list, field, options, changed });
    this.tags = [];
    this.set = new Map(); // tag => condition, such as '> 0.3'
    this.marked = -1;
    field.addEventListener('input', () => this.suggest());
    field.addEventListener('focus', () => field.value && this.suggest());
    field.addEventListener('blur', () => this.close());
    field.addEventListener('keydown', (event) => this.key(event));
    // The field keeps the focus while one of its options is clicked.
    options.addEventListener('mousedown', (event) => event.preventDefault());
    options.addEventListener('mousemove', (event) => {
      // The list may have opened under a mouse that does not move.
      if (event.movementX || event.movementY) this.mark([...options.children].indexOf(event.target));
    });
    options.addEventListener('click', (event) => {
      const option = event.target.closest('[role=option]');
      if (option) this.choose(option.dataset.tag);
    });
  }

  get texts() {
    return [...this.set].map(([tag, condition]) => `${tag} ${condition}`);
  }

  // Shows the filters of an address, without calling `changed`.
  show(texts) {
    this.set = new Map();
    for (const text of texts) {
      const [, tag, sign, threshold] = text.match(/^\s*(.*?)\s*(?:([<>])=?\s*([\d.]+)\s*)?$/s);
      this.set.set(tag, `${sign || '>'} ${threshold || '0.5'}`);
    }
    this.draw();
  }

  has(tag) {
    return this.set.has(tag);
  }

  toggle(tag) {
    if (!this.set.delete(tag)) this.set.set(tag, USUAL);
    this.draw();
    this.changed();
  }

  draw() {
    this.list.replaceChildren(...[...this.set].map(([tag, condition]) => this.drawOne(tag, condition)));
  }

  drawOne(tag, condition) {
    const item = document.createElement('li');
    const name = document.createElement('span');
    name.textContent = tag;
    const select = document.createElement('select');
    select.setAttribute('aria-label', `${tag}: how likely`);
    for (const choice of CHOICES.includes(condition) ? CHOICES : [condition, ...CHOICES]) {
      const option = new Option(choice.replace('<', '\u2009<').replace('>', '\u2009>'), choice, false, choice === condition);
      option.setAttribute('aria-label', words(choice));
      select.append(option);
    }
    select.addEventListener('change', () => {
      this.set.set(tag, select.value);
      this.changed();
    });
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.textContent = '×';
    remove.setAttribute('aria-label', `Remove the filter ${tag}`);
    remove.addEventListener('click', () => {
      this.toggle(tag);
      this.field.focus();
    });
    item.append(name, select, remove);
    return item;
  }

  suggest() {
    const typed = this.field.value.trim().toLowerCase();
    const rank = (tag) => {
      const at = tag.toLowerCase().indexOf(typed);
      if (at <= 0) return at;
      return /[\s,(]/.test(tag[at - 1]) ? 1 : 2; // beginnings of words before their middles
    };
    const found = this.tags
      .filter((tag) => !this.set.has(tag))
      .map((tag) => [rank(tag), tag])
      .filter(([order]) => typed && order >= 0)
      .sort(([a, one], [b, other]) => a - b || one.length - other.length)
      .slice(0, SHOWN);
    this.options.replaceChildren(
      ...found.map(([, tag], number) => {
        const option = document.createElement('li');
        option.id = `tag-${number}`;
        option.setAttribute('role', 'option');
        option.dataset.tag = tag;
        option.textContent = tag;
        return option;
      }),
    );
    this.options.hidden = !found.length;
    this.field.setAttribute('aria-expanded', String(found.length > 0));
    this.mark(found.length ? 0 : -1);
  }

  mark(number) {
    this.marked = number;
    [...this.options.children].forEach((option, i) => option.setAttribute('aria-selected', String(i === number)));
    const option = this.options.children[number];
    if (option) {
      this.field.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    } else this.field.removeAttribute('aria-activedescendant');
  }

  get open() {
    return !this.options.hidden;
  }

  close() {
    this.options.hidden = true;
    this.field.setAttribute('aria-expanded', 'false');
    this.mark(-1);
  }

  choose(tag) {
    this.field.value = '';
    this.close();
    this.toggle(tag);
  }

  key(event) {
    const count = this.options.children.length;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!this.open) this.suggest();
      else this.mark((this.marked + (event.key === 'ArrowDown' ? 1 : count - 1)) % count);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      if (this.open && this.marked >= 0) this.choose(this.options.children[this.marked].dataset.tag);
    } else if (event.key === 'Escape') {
      event.stopPropagation();
      if (this.open) this.close();
      else this.field.value = '';
    }
  }
}

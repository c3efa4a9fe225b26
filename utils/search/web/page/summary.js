// What became of the files of the folder. Names are set as text, never parsed as HTML.

const count = (number, what) => `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`;
const listed = (counts) => Object.entries(counts).map(([kind, number]) => `${number.toLocaleString('en')} ${kind}`).join(', ');

export function drawSummary({ files, sounds, duplicates, other, unusable, failed, failed_count, failed_list }) {
  const others = Object.values(other).reduce((sum, number) => sum + number, 0);
  const parts = [`${count(files, 'file')}: ${count(sounds, 'sound')}`];
  if (duplicates) parts.push(`, ${count(duplicates, 'duplicate')}`);
  if (others) parts.push(`. ${count(others, 'other file')} skipped: ${listed(other)}`);
  document.getElementById('taken').textContent = `${parts.join('')}.`;

  const box = document.getElementById('failed');
  box.hidden = !failed_count;
  box.querySelector('summary').textContent = `${count(failed_count, 'file')} cannot be used`;
  box.querySelector('p').textContent = listed(unusable);
  box.querySelector('ul').replaceChildren(
    ...failed.map(({ name, reason }) => {
      const item = document.createElement('li');
      const path = document.createElement('bdi');
      path.textContent = name;
      item.append(path, ` ${reason}`);
      return item;
    }),
  );
  const more = failed_count - failed.length;
  if (!more) return;
  const item = document.createElement('li');
  item.textContent = `… and ${more.toLocaleString('en')} more: ${failed_list} in the folder of the index lists all of them`;
  box.querySelector('ul').append(item);
}

// The button that looks for new sounds, and its progress. Searching works meanwhile.

import { ask } from './api.js';

const PAUSE = 400; // milliseconds
const LOOKING = 'Looking for new sounds …';

export async function watchUpdates({ button, state, finished }) {
  const tell = (text) => {
    state.textContent = text;
  };

  async function follow() {
    button.disabled = true;
    try {
      let now = await ask('/api/update');
      while (now.running) {
        tell(now.what ? `Busy ${now.what}: ${now.done} of ${now.total} ${now.unit}` : LOOKING);
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        now = await ask('/api/update');
      }
      tell(now.message || now.error || '');
      await finished();
    } catch (error) {
      tell(error.message);
    }
    button.disabled = false;
  }

  button.hidden = false;
  button.addEventListener('click', async () => {
    tell(LOOKING);
    try {
      await ask('/api/update', { method: 'POST' });
    } catch (error) {
      if (error.status !== 409) return tell(error.message); // 409: already running
    }
    return follow();
  });
  try {
    if ((await ask('/api/update')).running) await follow();
  } catch (error) {
    tell(error.message);
  }
}

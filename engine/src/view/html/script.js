(() => {
  'use strict';
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const one = (what, within = document) => within.querySelector(what);
  const html = document.documentElement;
  const chart = one('.chart'), plot = one('.plot'), scroll = one('.scroll'), filter = one('#filter');
  const places = JSON.parse(one('#positions').textContent);
  const scales = ['time', 'balanced', 'steps'];
  const rows = all('a.r[data-i],.more');
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  let current = null, zoom = 1;
  html.classList.add('js');

  // Scale: every position is known in all three; only the attributes change.
  const part = units => units / 100 + '%';
  function fit(lane) {
    const [least, enough] = lane.dataset.n.split(' ').map(Number);
    const width = parseFloat(lane.getAttribute('width')) * 100 * scroll.clientWidth / 840 * zoom;
    lane.classList.toggle('tiny', width < least);
    lane.classList.toggle('cut', width >= least && width < enough);
  }
  function rescale(name) {
    const n = scales.indexOf(name), x = places[n];
    chart.dataset.scale = name;
    for (const e of all('[data-x]', plot)) {
      const from = x[e.dataset.x];
      e.setAttribute('x', part(from));
      if (e.dataset.w) {
        const width = x[e.dataset.w] - from;
        e.setAttribute('width', part(width));
        if (e.classList.contains('lane')) fit(e);
      }
    }
    for (const e of all('[data-x1]', plot)) {
      e.setAttribute('x1', part(x[e.dataset.x1]));
      e.setAttribute('x2', part(x[e.dataset.x2]));
    }
    for (const e of all('.phase', plot)) {
      const side = e.dataset.k[2 * n], text = one('text', e);
      one('rect', e).classList.toggle('pale', e.dataset.k[2 * n + 1] === 'p');
      text.classList.remove('i', 'r', 'l');
      text.classList.add(side);
      text.setAttribute('dx', { i: -7, r: 6, l: -6 }[side]);
      text.setAttribute('x', part(x[side === 'l' ? text.dataset.a : text.dataset.b]));
    }
    for (const b of all('[data-set]')) b.setAttribute('aria-pressed', b.dataset.set === name);
  }

  // Zoom: the drawing is made wider; all of it is in parts of its width.
  function magnify(to, at = 0.5) {
    const old = zoom, seen = scroll.clientWidth;
    zoom = Math.min(256, Math.max(1, to));
    if (zoom === old) return;
    const middle = (scroll.scrollLeft + seen * at) / (seen * old);
    plot.style.width = zoom * 100 + '%';
    scroll.scrollLeft = middle * seen * zoom - seen * at;
    all('.lane', plot).forEach(fit);
  }
  function reveal() {
    if (zoom === 1 || !current) return;
    const bar = one(`.phase[data-i="${current.dataset.i}"] rect`, plot);
    if (!bar) return;
    const b = bar.getBoundingClientRect(), s = scroll.getBoundingClientRect();
    if (b.left < s.left || b.right > s.right) {
      const left = scroll.scrollLeft + b.left - s.left - (s.width - Math.min(b.width, s.width)) / 2;
      scroll.scrollTo({ left, behavior: calm.matches ? 'auto' : 'smooth' });
    }
  }
  function centre() {
    const bar = current && one(`.phase[data-i="${current.dataset.i}"] rect`, plot);
    if (!bar) return 0.5;
    const b = bar.getBoundingClientRect(), s = scroll.getBoundingClientRect();
    const at = (b.left + b.width / 2 - s.left) / s.width;
    return at >= 0 && at <= 1 ? at : 0.5;
  }

  // Selection: a row, its bar, its lines, its card.
  function mark(name, i, on) {
    for (const e of all(`.row[data-i="${i}"],.phase[data-i="${i}"],g[data-from="${i}"],g[data-to="${i}"]`, plot))
      e.classList.toggle(name, on);
  }
  function select(row, focus) {
    if (!row) return;
    if (current && current !== row) {
      current.removeAttribute('aria-current');
      current.tabIndex = -1;
      mark('on', current.dataset.i, false);
    }
    const before = one('.cards article.on'), card = document.getElementById('c' + row.dataset.i);
    if (before !== card) {
      if (before) before.classList.remove('on');
      if (card) card.classList.add('on');
    }
    current = row;
    row.setAttribute('aria-current', 'true');
    row.tabIndex = 0;
    mark('on', row.dataset.i, true);
    if (focus) row.focus({ preventScroll: false });
    reveal();
  }
  const rowOf = e => {
    const hit = e.target.closest('.plot [data-i]');
    return hit && rows.find(r => r === hit || r.dataset.i === hit.dataset.i);
  };
  let hovered = null;
  function hover(i) {
    if (i === hovered) return;
    for (const [n, on] of [[hovered, false], [i, true]]) {
      if (n === null) continue;
      for (const e of all(`.row[data-i="${n}"]`, plot)) e.classList.toggle('hover', on);
      for (const e of rows) if (e.dataset.i === n) e.classList.toggle('hover', on);
    }
    hovered = i;
  }
  chart.addEventListener('pointerover', e => {
    const hit = e.target.closest('[data-i]');
    hover(hit ? hit.dataset.i : null);
  });
  chart.addEventListener('pointerleave', () => hover(null));
  chart.addEventListener('click', e => {
    const row = e.target.closest('a.r,.more') || rowOf(e);
    if (!row) return;
    e.preventDefault();
    select(row, true);
    if (row.dataset.fold) unfold(row);
  });
  chart.addEventListener('focusin', e => {
    const row = e.target.closest('a.r,.more');
    if (row && row !== current) select(row, false);
  });
  scroll.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    const s = scroll.getBoundingClientRect();
    magnify(zoom * Math.exp(-e.deltaY / 200), (e.clientX - s.left) / s.width);
  }, { passive: false });

  // What is folded: read when somebody asks, and only what is in sight becomes part of the page.
  const deep = one('#deep'), sight = deep && one('.sight', deep), tall = deep && one('.tall', deep);
  const HIGH = 25;
  let folded = null, opened = null, list = [], at = -1, slowest = false, extent = [0, 1];
  function load() {
    folded ||= JSON.parse(one('#folded').textContent);
    return folded;
  }
  // The phases of a fold, and what is said of one of them.
  function phases(n) {
    const fold = load().folds[n];
    let start = 0;
    fold.all ||= fold.name.map((name, k) => {
      const ran = fold.start[k] !== null;
      if (ran) start += fold.start[k];
      return { fold: n, k, name, start: ran ? start : null, took: fold.took[k] };
    });
    return fold.all;
  }
  const value = (column, k) => Array.isArray(column) ? column[k] : column;
  const fact = (s, name) => folded.texts[value(folded.folds[s.fold][name], s.k)];
  function stated(s) {
    const [sign, state, tone] = fact(s, 'state').split('/');
    return { sign, state, tone };
  }
  const facts = ['groups', 'kind', 'state', 'process', 'identity', 'said'];
  // A test for the words in all that a phase of that fold says but its name; most folds say but a few things.
  function tester(n, words) {
    const fold = folded.folds[n], known = new Map();
    return s => {
      const key = facts.map(f => value(fold[f], s.k)).join();
      let open = known.get(key);
      if (!open) {
        const text = facts.map(f => fact(s, f)).join(' ').toLowerCase();
        known.set(key, open = words.filter(w => !text.includes(w)));
      }
      if (!open.length) return true;
      const name = s.name.toLowerCase();
      return open.every(w => name.includes(w));
    };
  }
  function duration(ns) {
    const s = ns / 1e9, scaled = (n, unit) => `${n.toFixed(n < 9.95 ? 1 : 0)} ${unit}`, whole = Math.floor(s);
    if (ns < 1e3) return `${ns} ns`;
    if (ns < 999500) return scaled(ns / 1e3, 'µs');
    if (ns < 9995e5) return scaled(ns / 1e6, 'ms');
    if (whole < 60) return scaled(s, 's');
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
    return `${Math.floor(whole / 86400)} d ${Math.floor(whole % 86400 / 3600)} h`;
  }
  const make = (name, className, text) => {
    const e = document.createElement(name);
    e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  function paint() {
    const from = Math.max(0, Math.floor(sight.scrollTop / HIGH) - 5);
    const to = Math.min(list.length, Math.ceil((sight.scrollTop + sight.clientHeight) / HIGH) + 5);
    const width = extent[1] - extent[0] || 1;
    const drawn = [];
    for (let n = from; n < to; n++) {
      const s = list[n], { sign, state, tone } = stated(s), row = make('div', n === at ? 'd on' : 'd');
      row.id = `d${n}`;
      row.dataset.n = n;
      row.setAttribute('role', 'option');
      row.setAttribute('aria-selected', n === at);
      row.setAttribute('aria-posinset', n + 1);
      row.setAttribute('aria-setsize', list.length);
      row.style.top = `${n * HIGH}px`;
      const name = make('span', 'label');
      name.append(make('span', `mark ${tone}`, sign), ` ${s.name}`);
      name.title = s.name;
      const lie = make('span', 'lie');
      if (s.start !== null) {
        const bar = make('i', tone === 'bad' ? 'bad' : `w-${fact(s, 'who')}`);
        bar.style.left = `${(s.start - extent[0]) / width * 99.5}%`;
        bar.style.width = `${(s.took || 0) / width * 99.5}%`;
        lie.append(bar);
      }
      row.append(name, make('span', 'took', s.took === null ? state : duration(s.took)), lie);
      drawn.push(row);
    }
    tall.replaceChildren(...drawn);
    if (at >= 0) sight.setAttribute('aria-activedescendant', `d${at}`);
    else sight.removeAttribute('aria-activedescendant');
  }
  function arrange() {
    const kept = list[at];
    if (slowest) list.sort((a, b) => (b.took || 0) - (a.took || 0));
    else list.sort((a, b) => a.fold - b.fold || a.k - b.k);
    at = kept ? list.indexOf(kept) : -1;
    tall.style.height = `${list.length * HIGH}px`;
    sight.scrollTop = at < 0 ? 0 : at * HIGH - sight.clientHeight / 2;
    paint();
  }
  function show(what, title) {
    list = what;
    at = -1;
    let [first, last] = [Infinity, -Infinity];
    for (const s of list) if (s.start !== null) {
      first = Math.min(first, s.start);
      last = Math.max(last, s.start + (s.took || 0));
    }
    extent = first < last ? [first, last] : [first === Infinity ? 0 : first, first === Infinity ? 1 : first + 1];
    one('h2', deep).textContent = title;
    one('.span', deep).textContent = first === Infinity ? 'none of them ran'
      : `bars to scale, from +${duration(first)} to +${duration(last)}`;
    deep.hidden = !list.length;
    arrange();
  }
  function unfold(row, focus) {
    const fold = Number(row.dataset.fold), data = load();
    if (opened === row && !deep.hidden && !focus) return close();
    if (opened) opened.setAttribute('aria-expanded', 'false');
    opened = row;
    row.setAttribute('aria-expanded', 'true');
    show([...phases(fold)], data.folds[fold].label);
    if (focus) { choose(0); sight.focus(); }
  }
  function close() {
    deep.hidden = true;
    if (!opened) return select(current, true);
    opened.setAttribute('aria-expanded', 'false');
    select(opened, true);
    opened = null;
  }
  // How many folded phases fit; they are shown.
  function seek(words) {
    if (!words.length) {
      if (!opened) deep.hidden = true;
      for (const e of all('.hits')) e.remove();
      return 0;
    }
    const hits = [];
    load().folds.forEach((_, fold) => {
      const before = hits.length, fits = tester(fold, words);
      for (const s of phases(fold)) if (fits(s)) hits.push(s);
      const row = one(`.more[data-fold="${fold}"]`), n = hits.length - before;
      const said = one('.hits', row) || row.appendChild(make('span', 'hits'));
      said.textContent = `${n} fit`;
      row.classList.toggle('away', !n);
    });
    if (opened) opened.setAttribute('aria-expanded', 'false');
    opened = null;
    show(hits, `${hits.length} folded phase${hits.length === 1 ? '' : 's'} found`);
    return hits.length;
  }
  // One of them: its facts in a card, as the others have.
  function choose(n) {
    at = Math.min(list.length - 1, Math.max(0, n));
    const top = at * HIGH, s = list[at];
    if (!s) return;
    if (top < sight.scrollTop) sight.scrollTop = top;
    if (top + HIGH > sight.scrollTop + sight.clientHeight) sight.scrollTop = top + HIGH - sight.clientHeight;
    paint();
    let card = one('#c-deep');
    if (!card) {
      card = make('article', '');
      card.id = 'c-deep';
      card.tabIndex = -1;
      one('.cards').append(card);
    }
    const before = one('.cards article.on');
    if (before) before.classList.remove('on');
    const { sign, state, tone } = stated(s), said = fact(s, 'said');
    card.className = tone === 'bad' ? 'bad on' : 'plain on';
    const what = make('div', 'what'), head = make('h2', ''), list_of = make('dl', '');
    head.append(make('span', `mark ${tone}`, sign), ` ${s.name} `, make('span', 'state', state));
    what.append(head);
    if (said) what.append(make('p', '', said));
    const took = s.start === null ? '' : `${s.took === null ? 'has not ended' : duration(s.took)}, from +${duration(s.start)}`;
    for (const name of ['took', 'groups', 'kind', 'process', 'identity']) {
      const text = name === 'took' ? took : fact(s, name);
      if (text) list_of.append(make('dt', '', name), make('dd', '', text));
    }
    card.replaceChildren(what, list_of);
  }
  function within(e) {
    const page = Math.floor(sight.clientHeight / HIGH) - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: list.length - 1 }[e.key];
    if (to !== undefined) choose(to);
    else if (e.key === 'Enter' && at >= 0) one('#c-deep').focus();
    else return false;
    e.preventDefault();
    return true;
  }
  if (deep) {
    sight.addEventListener('scroll', paint);
    sight.addEventListener('click', e => {
      const row = e.target.closest('.d');
      if (row) choose(Number(row.dataset.n));
    });
    addEventListener('resize', paint);
  }

  // What is not asked for steps back, and keeps its place.
  let only = false;
  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const row of rows) {
      if (row.dataset.fold) {
        row.classList.toggle('away', only);
        continue;
      }
      const line = one(`tr[data-i="${row.dataset.i}"]`);
      const text = (row.textContent + ' ' + (line ? line.textContent : '')).toLowerCase();
      const hit = words.every(w => text.includes(w)) && (!only || 'critical' in row.dataset);
      row.classList.toggle('away', !hit);
      for (const e of all(`.phase[data-i="${row.dataset.i}"]`, plot)) e.classList.toggle('away', !hit);
      if (line) line.hidden = !hit;
      found += hit;
    }
    one('.needs', plot).classList.toggle('away', only);
    if (deep && !only) found += seek(words);
    one('.found').textContent = words.length || only ? `${found} of ${deep ? load().all : rows.length}` : '';
  }
  let soon = 0;
  filter.addEventListener('input', () => {
    clearTimeout(soon);
    soon = setTimeout(sift, deep ? 120 : 0);
  });
  function critical() {
    only = !only;
    one('[data-do=critical]').setAttribute('aria-pressed', only);
    sift();
  }
  function theme() {
    const dark = getComputedStyle(html).colorScheme.includes('dark');
    html.dataset.theme = dark ? 'light' : 'dark';
  }
  const next = () => scales[(scales.indexOf(chart.dataset.scale) + 1) % 3];

  document.addEventListener('click', e => {
    const b = e.target.closest('button');
    if (!b) return;
    if (b.dataset.set) rescale(b.dataset.set);
    if (b.dataset.zoom) magnify({ in: zoom * 2, out: zoom / 2, fit: 1 }[b.dataset.zoom], centre());
    if (b.dataset.do === 'critical') critical();
    if (b.dataset.do === 'theme') theme();
    if (b.dataset.do === 'order') { slowest = !slowest; b.setAttribute('aria-pressed', slowest); arrange(); }
    if (b.dataset.do === 'close') close();
  });
  function step(by) {
    const open = rows.filter(r => !r.classList.contains('away'));
    if (!open.length) return;
    const at = open.indexOf(current);
    select(open[Math.min(open.length - 1, Math.max(0, at + by))] || open[0], true);
  }
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target === filter) {
      if (e.key === 'Escape') { filter.value = ''; sift(); }
      if (e.key === 'Escape' || e.key === 'ArrowDown' || e.key === 'Enter') { e.preventDefault(); step(0); }
      return;
    }
    if (e.target.closest('.sight') && within(e)) return;
    const card = one('.cards article.on');
    if (e.target.closest('.data') && e.key.startsWith('Arrow')) return;
    const pan = by => scroll.scrollBy({ left: by * scroll.clientWidth / 4 });
    const keys = {
      ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-1e9), End: () => step(1e9),
      ArrowLeft: () => pan(-1), ArrowRight: () => pan(1),
      '+': () => magnify(zoom * 2, centre()), '=': () => magnify(zoom * 2, centre()),
      '-': () => magnify(zoom / 2, centre()), 0: () => magnify(1),
      c: critical, s: () => rescale(next()), t: theme, '/': () => filter.focus(),
      Escape: () => select(current, true),
    };
    const closed = e.target.closest('.more');
    if (closed && (e.key === 'Enter' || e.key === ' ')) keys[e.key] = () => unfold(closed, true);
    if (e.key === 'Enter' && e.target.closest('a.r') && card) keys.Enter = () => card.focus();
    if (e.key === 'Escape' && e.target.closest('#c-deep')) keys.Escape = () => sight.focus();
    else if (e.key === 'Escape' && deep && !deep.hidden) keys.Escape = close;
    const act = keys[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  });

  addEventListener('resize', () => all('.lane', plot).forEach(fit));
  all('.lane', plot).forEach(fit);
  for (const row of rows) row.tabIndex = -1;
  for (const row of all('.more')) {
    row.setAttribute('role', 'button');
    row.setAttribute('aria-expanded', 'false');
    row.setAttribute('aria-controls', 'deep');
  }
  const asked = /^#c(\d+)$/.exec(location.hash);
  const first = one('.cards article.first');
  const id = asked ? asked[1] : first ? first.id.slice(1) : null;
  select(rows.find(r => r.dataset.i === id) || rows[0], false);
})();

// Before the first paint: the theme that was chosen here, so that a dark page does not flash.
(() => {
  try {
    const theme = localStorage.getItem('tongkuan.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
    const lang = localStorage.getItem('tongkuan.lang');
    if (lang === 'en') document.documentElement.lang = 'en';
    if (lang === 'zh') document.documentElement.lang = 'zh-Hans';
  } catch {
    // Without storage the browser's own choice stands.
  }
})();

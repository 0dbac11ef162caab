package ai.edgekit.demo;

/** What the app says about a verdict of ModelFile.verdict(). */
enum VerdictText {
    PASS(R.string.verdict_pass, R.string.verdict_pass_text, R.drawable.ic_good, R.color.good),
    FAIL(R.string.verdict_fail, R.string.verdict_fail_text, R.drawable.ic_bad, R.color.bad),
    INCONCLUSIVE(R.string.verdict_inconclusive, R.string.verdict_inconclusive_text,
            R.drawable.ic_warning, R.color.warning),
    STALE(R.string.verdict_stale, R.string.verdict_stale_text, R.drawable.ic_warning, R.color.warning),
    NONE(R.string.verdict_none, R.string.verdict_none_text, R.drawable.ic_warning, R.color.warning);

    final int title;
    final int text;
    final int icon;
    final int colour;

    VerdictText(int title, int text, int icon, int colour) {
        this.title = title;
        this.text = text;
        this.icon = icon;
        this.colour = colour;
    }

    static VerdictText of(String verdict) {
        return valueOf(verdict.toUpperCase(java.util.Locale.ROOT));
    }
}

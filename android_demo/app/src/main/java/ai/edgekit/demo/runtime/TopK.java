package ai.edgekit.demo.runtime;

/** The k best labels, best first; equal scores keep the order of the labels. Allocates nothing per update. */
public final class TopK {
    /** The labels' indices; the first `count` are valid. */
    public final int[] indices;
    public final float[] scores;
    public int count;

    public TopK(int k) {
        indices = new int[k];
        scores = new float[k];
    }

    /** Ranks a row of finite scores. */
    public void update(float[] all) {
        count = 0;
        for (int i = 0; i < all.length; i++) {
            if (count == indices.length && !(all[i] > scores[count - 1])) {
                continue;
            }
            int place = count < indices.length ? count++ : count - 1;
            while (place > 0 && all[i] > scores[place - 1]) {
                indices[place] = indices[place - 1];
                scores[place] = scores[place - 1];
                place--;
            }
            indices[place] = i;
            scores[place] = all[i];
        }
    }
}

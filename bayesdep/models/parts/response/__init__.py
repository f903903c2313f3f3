"""What only a biomarker as predictor needs: `Response`."""
